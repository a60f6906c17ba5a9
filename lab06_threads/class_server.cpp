// The echo service by a small class library: the same handler one at a time, in threads, or in processes.
//
//   ./class_server -m fork -d 1               in one terminal; or thread, or serial
//   ../lab02_tcp_iterative/echo_many -n 8     in another
//
// Look at how little is left of echo_server: what is done for a client. How several clients are served at
// once is in socket_server.hpp, and is chosen in three lines of main. lab05's callback_server is a library of
// the other kind, which calls the handler when there is something to read.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <exception>
#include <string>
#include <thread>

#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "socket_server.hpp"
#include "stop.hpp"

class echo_handler : public request_handler {
 public:
    using request_handler::request_handler;

    static inline std::chrono::duration<double> work{};

    void handle() override {
        // Simulated work: a query to a database, for example.
        std::this_thread::sleep_for(work);
        std::array<char, 1024> buffer;
        while (true) {
            const auto received = check("recv", recv(request_.get(), buffer.data(), buffer.size(), 0));
            // 0 is the client's end of file.
            if (received == 0) return;
            const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
            send_all(request_, "Echo=>" + chunk + " at " + now());
        }
    }
};

using echo_server = tcp_server<echo_handler>;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "padm", "[-p PORT] [-a ADDRESS] [-d SECONDS] [-m thread|fork|serial]"};
    echo_handler::work = std::chrono::duration<double>{given.number('d', 5.0, 0.0, 3600.0)};
    const std::string how = given.text('m', "thread");
    if (how != "thread" && how != "fork" && how != "serial") given.wrong("-m '" + how + "': not known");
    start_log();
    exit_on_stop_signals();

    const std::string address = given.address();
    const int port = given.port(50007);
    if (how == "thread") threading<echo_server>{address, port}.serve_forever();
    if (how == "fork") forking<echo_server>{address, port}.serve_forever();
    echo_server{address, port}.serve_forever();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
