// Ends every connection with a reset (RST) in place of the usual end of file (FIN).
//
//   ./rst_server                        in one terminal
//   ./sigpipe localhost                 in another
//
// Look at SO_LINGER with a time of zero: close then throws away what is not sent yet, and resets. A server
// resets without asking for it, too, when it closes a socket that holds bytes it has not read. What the
// client makes of a reset is sigpipe's lesson.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>

#include "options.hpp"
#include "posix.hpp"

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Closes the connection so that the client gets a reset.
void reset(unique_fd connection) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
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
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        try {
            reset(std::move(connection));
        } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
