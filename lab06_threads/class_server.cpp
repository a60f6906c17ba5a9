// The echo service by a small class library: the same handler one at a time, in threads, or in processes.
//
//   ./class_server -m fork -d 1               in one terminal; or thread, or serial
//   ../lab02_tcp_iterative/echo_many -n 8     in another
//
// Look at how little is left of echo_server: what is done for a client. How it is done for several at once is
// in socket_server.hpp, and chosen in three lines of main. lab05's callback_server is a library of the other
// kind, which calls the handler when there is something to read.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "socket_server.hpp"

pid_t parent = 0;  // the server itself, and no child
std::atomic_flag stopping;

extern "C" void on_stop(int) {
    if (getpid() != parent) _exit(0);      // Ctrl-C reaches the children, too: they go without a word
    if (stopping.test_and_set()) pause();  // another thread is here: sa_mask holds back signals for one only
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::array<char, 26> text;                                 // as ctime_r wants it
    return {ctime_r(&seconds, text.data()), text.size() - 2};  // without its newline
}

class echo_handler : public request_handler {
 public:
    using request_handler::request_handler;

    static inline std::chrono::duration<double> work{};

    void handle() override {
        std::this_thread::sleep_for(work);  // pretended: a look into a data base, say
        std::array<char, 1024> buffer;
        while (true) {
            const auto received = check("recv", recv(request_.get(), buffer.data(), buffer.size(), 0));
            if (received == 0) return;  // the client's end of file
            const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
            send_all(request_, "Echo=>" + chunk + " at " + now());
        }
    }
};

using echo_server = tcp_server<echo_handler>;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "padm", "[-p PORT] [-a ADDRESS] [-d SECONDS] [-m thread|fork|serial]"};
    const endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(50007)).front();
    echo_handler::work = std::chrono::duration<double>{given.number('d', 5.0, 0.0, 3600.0)};
    const std::string how = given.text('m', "thread");
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    if (how == "thread") threading<echo_server>{here}.serve_forever();
    if (how == "fork") forking<echo_server>{here}.serve_forever();
    if (how == "serial") echo_server{here}.serve_forever();
    given.wrong("-m '" + how + "': not thread, fork or serial");
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
