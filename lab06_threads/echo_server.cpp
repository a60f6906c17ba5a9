// The echo service with a thread per client: the simulated work for one client keeps no other waiting.
//
//   ./echo_server -d 5                        in one terminal: five seconds of work for each client
//   ../lab02_tcp_iterative/echo_many -n 8     in another
//
// Look at the dates in the eight replies: they are the same, where lab02's server serves one after the other.
// ctime returns a pointer into memory of the C library, one for all threads: now.hpp uses ctime_r.
// class_server is this program as a small class library.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <syncstream>
#include <thread>
#include <utility>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "thread_per_client.hpp"

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, std::chrono::duration<double> work) {
    // Simulated work: a query to a database, for example.
    std::this_thread::sleep_for(work);
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
        send_all(connection, "Echo=>" + chunk + " at " + now());
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const std::chrono::duration<double> work{given.number('d', 5.0, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(50007));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        start_client_thread(std::move(connection), client, [work](const unique_fd& c) { serve(c, work); });
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
