// The echo service with a thread per client: the work of one, pretended here, keeps nobody else waiting.
//
//   ./echo_server -d 5                        in one terminal: five seconds of work for each client
//   ../lab02_tcp_iterative/echo_many -n 8     in another
//
// Look at the dates in the eight replies: they are the same, where lab02's server serves one after the other.
// A C library function that returns a pointer into its own memory, as ctime does, has one for all threads:
// now() uses ctime_r. class_server is this program as a small class library.
#include <err.h>
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
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

std::atomic_flag stopping;

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    // _exit ends all threads at once; exit would destroy std::cout while they still use it.
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

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection, std::chrono::duration<double> work) {
    std::this_thread::sleep_for(work);  // pretended: a look into a data base, say
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file
        const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
        send_all(connection, "Echo=>" + chunk + " at " + now());
    }
}

/// A client's thread, which owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client, std::chrono::duration<double> work) {
    try {
        serve(connection, work);
    } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
    }
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';  // a line in one piece
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(50007)).front();
    const std::chrono::duration<double> work{given.number('d', 5.0, 0.0, 3600.0)};
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1 && errno != ECONNABORTED) {
            warn("accept");
            sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
        }
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        try {
            std::thread{serve_client, std::move(connection), client, work}
                .detach();                          // nobody waits for its end
        } catch (const std::system_error& error) {  // no thread to be had: this client is turned away
            std::osyncstream{std::cerr} << program_invocation_short_name << ": thread: " << error.what()
                                        << '\n';
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
