// A small inetd: runs a program for each client, with the connection as its standard input and output.
//
//   ./super_server cat                  in one terminal: an echo server
//   nc localhost 22222                  in another
//   ./super_server ../lab01_cas_stdin/stdin_cas      the first lab as a server: a register for each client
//
// Look at what the program knows of the network: nothing. When it starts, the child is that program, so that
// nobody is left here to say `disconnected`. A web server runs CGI scripts in the same way.
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

pid_t parent = 0;  // the server itself, and no child

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    if (getpid() != parent) _exit(0);  // Ctrl-C reaches the children, too: they go without a word
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Becomes the program `words[0]`, with the connection as its standard input, output and error. Throws
/// std::system_error if there is no such program.
[[noreturn]] void serve(unique_fd connection, std::vector<std::string>& words) {
    std::vector<char*> arguments(words.size() + 1);  // the last one stays a null pointer
    std::ranges::transform(words, arguments.begin(), [](std::string& word) { return word.data(); });
    const unique_fd log{check("fcntl", fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3))};  // closed by execvp
    // BEGIN SOLUTION: let SIGCHLD have its default action again: an ignored signal stays ignored in the program.
    struct sigaction usual {};
    usual.sa_handler = SIG_DFL;
    check("sigaction", sigaction(SIGCHLD, &usual, nullptr));
    // END SOLUTION
    // BEGIN SOLUTION: make the connection the descriptors 0, 1 and 2, and leave no other copy of it open.
    for (const int standard : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO})
        check("dup2", dup2(connection.get(), standard));
    connection.reset();
    // END SOLUTION
    // BEGIN SOLUTION: become the program, which is looked for as the shell does.
    execvp(arguments[0], arguments.data());
    // END SOLUTION
    const int reason = errno;  // the call above returns only to say why it could not
    check("dup2", dup2(log.get(), STDERR_FILENO));
    throw std::system_error{reason, std::generic_category(), "execvp"};
}

int main(int argc, char* argv[]) try {
    options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS] PROGRAM [ARG...]", 1, 1000};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(22222)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));
    struct sigaction forget {};
    forget.sa_handler = SIG_IGN;  // a child that has exited leaves no zombie
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
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
        const pid_t child = fork();
        if (child == 0) {
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));  // the child ends when the parent ends,
            if (getppid() != parent) _exit(0);                 // or has ended already
            listener.reset();
            try {
                serve(std::move(connection), given.words);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            _exit(1);
        }
        if (child == -1) {  // no process to be had: this client is turned away
            std::cerr << program_invocation_short_name << ": fork: " << strerror(errno) << '\n';
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
