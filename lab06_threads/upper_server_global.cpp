// Broken: all threads use one global connection, that of the last client. Replies go to the wrong client.
//
//   ./upper_server_global               in one terminal
//   nc localhost 4444                   in a second: type "one", then, when the third has connected, "two"
//   nc localhost 4444                   in a third
//
// Look at where TWO arrives. The variable is atomic, so this is no data race, and ThreadSanitizer (make tsan)
// finds nothing: a value can be read and written without a race, and still belong to another client. The cure
// is upper_server's: what belongs to one client is passed to its thread, and to no other.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <exception>
#include <iostream>
#include <span>
#include <syncstream>
#include <utility>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "thread_per_client.hpp"
#include "to_upper.hpp"

// The connection of the client that is served; but several are served at once.
std::atomic<int> conn = -1;

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve() {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(conn, buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        to_upper(chunk);
        // One send, as in the lecture: enough for a short line.
        check("send", send(conn, chunk.data(), chunk.size(), MSG_NOSIGNAL));
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(4444));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        conn = connection.get();
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        start_client_thread(std::move(connection), client, [](const unique_fd&) { serve(); });
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
