// A small inetd: runs a program for each client, with the connection as its standard input and output.
//
//   ./super_server cat                  in one terminal: an echo server
//   nc localhost 22222                  in another
//   ./super_server ../lab01_cas_stdin/stdin_cas      the first lab as a server: a register for each client
//
// Look at what the program knows of the network: nothing. exec replaces the server's code in the child, so
// that no line logs `disconnected`. A web server runs CGI scripts in the same way.
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

/// Becomes the program `words[0]`, with the connection as its standard input, output and error. Throws
/// std::system_error if there is no such program.
[[noreturn]] void serve(unique_fd connection, std::vector<std::string>& words) {
    // The last one stays a null pointer.
    std::vector<char*> arguments(words.size() + 1);
    std::ranges::transform(words, arguments.begin(), [](std::string& word) { return word.data(); });
    // Close-on-exec: execvp closes this copy.
    const unique_fd log{check("fcntl", fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3))};
    // BEGIN SOLUTION: let SIGCHLD have its default action again: an ignored signal stays ignored in the program.
    struct sigaction usual = {};
    usual.sa_handler = SIG_DFL;
    check("sigaction", sigaction(SIGCHLD, &usual, nullptr));
    // END SOLUTION
    // BEGIN SOLUTION: make the connection the descriptors 0, 1 and 2, and leave no other copy of it open.
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        check("dup2", dup2(connection.get(), standard));
    connection.reset();
    // END SOLUTION
    // BEGIN SOLUTION: execute the program; find it in PATH, as the shell does.
    execvp(arguments[0], arguments.data());
    // END SOLUTION
    // exec returns only if it has failed.
    const int reason = errno;
    check("dup2", dup2(log.get(), STDERR_FILENO));
    throw std::system_error{reason, std::generic_category(), "execvp"};
}

int main(int argc, char* argv[]) try {
    options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS] PROGRAM [ARG...]", 1, 1000};
    start_log();
    exit_on_stop_signals();
    struct sigaction forget = {};
    forget.sa_handler = SIG_IGN;
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(22222));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t parent = getpid();
        const pid_t child = fork();
        if (child == 0) {
            end_with_parent(parent);
            listener.reset();
            try {
                serve(std::move(connection), given.words);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
            }
            _exit(1);
        }
        if (child == -1) {
            // No process is left for this client: it is turned away.
            warn("fork");
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
