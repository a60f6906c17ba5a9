// Prefork: the children are there before the first client. Each waits in accept on the one listener that all
// of them inherited, and serves one client after the other. The parent replaces a child that dies.
//
//   ./bytes_server -n 10                in one terminal
//   ./load_client localhost             in another
//   pstree -p $(pgrep -o bytes_server)  the parent and its children
//
// Kill a child, look at the tree, and look again a second later; then kill the parent with -KILL. lab04's
// bytes_server starts a process for each client; here no client waits for a fork. Next: bytes_server_counted.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <system_error>
#include <vector>

#include "bytes_service.hpp"
#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"

/// What a child does: it serves one client after the other.
[[noreturn]] void work(const unique_fd& listener) {
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
}

/// Starts a child and returns its PID. `awaited` are the signals that the parent has blocked. Throws
/// std::system_error if fork fails.
pid_t start_child(const unique_fd& listener, const sigset_t& awaited) {
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return pid;
    try {
        end_with_parent(parent);
        check("sigprocmask", sigprocmask(SIG_UNBLOCK, &awaited, nullptr));
        work(listener);
    } catch (const std::exception& error) {
        warnx("%s", error.what());
    }
    // A child never returns into its parent's loop.
    _exit(1);
}

int main(int argc, char* argv[]) try {
    using clock = std::chrono::steady_clock;
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    const auto wanted = static_cast<std::size_t>(given.number('n', 10, 1, 1000));
    start_log();

    // The parent takes these signals one by one, where it waits. They interrupt nothing.
    sigset_t awaited;
    sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&awaited, signal);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &awaited, nullptr));
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    std::vector<pid_t> children;
    clock::time_point last_start;
    while (true) {
        // BEGIN SOLUTION: reap the children that have died, and start those that are missing: one round a second.
        for (pid_t dead; (dead = waitpid(-1, nullptr, WNOHANG)) > 0;) std::erase(children, dead);
        // A child that cannot live would be started thousands of times a second.
        if (clock::now() - last_start >= std::chrono::seconds{1}) {
            last_start = clock::now();
            try {
                while (children.size() < wanted) children.push_back(start_child(listener, awaited));
            } catch (const std::system_error& error) {
                warnx("%s", error.what());
            }
        }
        // END SOLUTION
        // While a child is missing, it looks again after a second.
        const timespec second{.tv_sec = 1, .tv_nsec = 0};
        const int signal = children.size() < wanted ? sigtimedwait(&awaited, nullptr, &second)
                                                    : sigwaitinfo(&awaited, nullptr);
        if (signal == SIGINT || signal == SIGTERM) break;
    }

    std::cout << "Exiting\n";
    for (const pid_t pid : children) kill(pid, SIGKILL);
    // The port is free when all of them have ended.
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
