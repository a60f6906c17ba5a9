// The first server: socket, bind, listen, accept, recv, send, close, one after the other.
//
//   ./upper_server                      in one terminal
//   ./upper_client localhost            in another; type a line
//
// Look at what a second client gets while the first is still connected: nothing. The server serves one
// client at a time; lab04 gives each a process of its own, lab05 and lab06 find other ways.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <span>

#include "failed_accept.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

/// Returns `c` in upper case if it is an ASCII letter; any other byte as it is, whatever the locale.
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Sends every byte to the connected socket. Throws std::system_error.
void send_all(const unique_fd& connection, std::span<const char> bytes) {
    // BEGIN SOLUTION: send takes as many bytes as fit, and returns how many: repeat it until all are sent.
    // MSG_NOSIGNAL: if the client has gone, send fails with EPIPE; without it SIGPIPE kills the server.
    while (!bytes.empty()) {
        const auto sent = check("send", send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    // END SOLUTION
}

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        for (char& c : chunk) c = to_upper(c);
        send_all(connection, chunk);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();

    endpoint here = resolve(given.address(), given.port(4444)).front();
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    // With -p 0 the kernel has chosen the port.
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        try {
            serve(connection);
        } catch (const std::exception& error) {
            // It ends this client's connection, and no other.
            warnx("%s", error.what());
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
