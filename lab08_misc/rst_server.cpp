// Ends every connection with a reset (RST) instead of the usual end of file (FIN).
//
//   ./rst_server                        in one terminal
//   ./sigpipe localhost                 in another
//
// Look at SO_LINGER with a time of zero: close then discards what is not sent yet, and sends a reset. The
// kernel also resets by itself, when a socket is closed that holds unread bytes. sigpipe shows what a client
// makes of a reset.
#include <err.h>
#include <sys/socket.h>

#include <exception>
#include <iostream>
#include <utility>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

/// Closes the connection so that the client gets a reset; socket(7), SO_LINGER. Throws std::system_error.
void reset(unique_fd connection) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        try {
            reset(std::move(connection));
        } catch (const std::exception& error) {
            // It ends this client's connection, and no other.
            warnx("%s", error.what());
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
