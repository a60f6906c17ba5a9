// The echo service: each chunk comes back as Echo=>CHUNK at DATE, so that the client sees when it was served.
//
//   ./echo_server -d 2                  in one terminal: two seconds of simulated work for each client
//   ./echo_many -n 3 localhost one two  in another
//
// Look at the dates: one client is served after the other, and all three have connected at once. The servers
// of lab04, lab05 and lab06 that answer them side by side have this program's name.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <ctime>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <thread>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    // ctime_r writes 26 bytes, a newline and a null byte at the end.
    std::array<char, 26> text;
    return {ctime_r(&seconds, text.data()), text.size() - 2};
}

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
    const std::chrono::duration<double> work{given.number('d', 0.0, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(50007));

    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        try {
            serve(connection, work);
        } catch (const std::exception& error) {
            // It ends this client's connection, and no other.
            warnx("%s", error.what());
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
