// The first concurrent server: a child process for each client.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in a second and a third: both are served at once
//   ps --forest -o pid,ppid,stat,cmd -C upper_server      in a fourth
//
// Start from lab02's upper_server. The diff shows what is new: fork, which process closes which copy of a
// descriptor, which process exits, and how the children are reaped. The next programs, echo_server and its
// variants, show these one by one.
#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <iostream>
#include <span>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

extern "C" void on_child(int) {
    // BEGIN SOLUTION: reap every child that has exited, wait for none, and leave errno as it was.
    // The handler may come between a call that fails and the line that reads errno.
    const int interrupted = errno;
    // Signals do not queue: this one may stand for several children.
    while (waitpid(-1, nullptr, WNOHANG) > 0) continue;
    errno = interrupted;
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
        to_upper(chunk);
        send_all(connection, chunk);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    struct sigaction reap = {};
    reap.sa_handler = on_child;
    // accept goes on waiting after the handler.
    reap.sa_flags = SA_RESTART;
    check("sigaction", sigaction(SIGCHLD, &reap, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(4444));

    unique_fd connection;
    while (true) {
        endpoint client;
        connection = unique_fd{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t parent = getpid();
        const pid_t child = fork();
        if (child == 0) {
            // The child ends when its parent ends, or has ended already.
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));
            if (getppid() != parent) _exit(0);
            listener.reset();
            try {
                serve(connection);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            _exit(0);
        }
        if (child == -1) {
            // No process is left for this client: it is turned away.
            warn("fork");
            std::cout << "disconnected " << to_string(client) << '\n';
        }
        // BEGIN SOLUTION: close what only the child needs, or the client never sees the end of its replies.
        connection.reset();
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
