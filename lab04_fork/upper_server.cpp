// The first concurrent server: a child process for each client.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in a second and a third: both are served at once
//   ps --forest -o pid,ppid,stat,cmd -C upper_server      in a fourth
//
// Look at the diff to lab02's upper_server: fork, who closes which copy of a descriptor, who exits, and who
// collects the children that have. The next programs, echo_server and its variants, take these one by one.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <span>

#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

pid_t parent = 0;  // the server itself, and no child

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    if (getpid() != parent) _exit(0);  // Ctrl-C reaches the children, too: they go without a word
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

extern "C" void on_child(int) {
    // BEGIN SOLUTION: collect every child that has exited, wait for none, and leave errno as it was.
    const int interrupted = errno;  // the handler may come between a call and the look at its error
    // Signals do not queue: this one may stand for several deaths.
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    errno = interrupted;
    // END SOLUTION
}

/// Returns `c` in upper case if it is an ASCII letter; any other byte as it is, whatever the locale.
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        for (char& c : chunk) c = to_upper(c);
        send_all(connection, chunk);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));
    struct sigaction reap {};
    reap.sa_handler = on_child;
    reap.sa_flags = SA_RESTART;  // an accept that a child's end interrupts goes on waiting
    check("sigaction", sigaction(SIGCHLD, &reap, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    unique_fd connection;
    while (true) {
        endpoint client;
        connection = unique_fd{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t child = fork();
        if (child == 0) {
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));  // the child ends when the parent ends,
            if (getppid() != parent) _exit(0);                 // or has ended already
            listener.reset();
            try {
                serve(connection);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            _exit(0);
        }
        if (child == -1) {  // no process to be had: this client is turned away
            std::cerr << program_invocation_short_name << ": fork: " << strerror(errno) << '\n';
            std::cout << "disconnected " << to_string(client) << '\n';
        }
        // BEGIN SOLUTION: close what only the child needs, or the client never sees the end of its replies.
        connection.reset();
        // END SOLUTION
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
