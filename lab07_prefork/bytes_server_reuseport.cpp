// A listening socket for each child, all on one port: with SO_REUSEPORT the kernel distributes new
// connections to the sockets by a hash of their addresses. No child shares a queue with another.
//
//   ./bytes_server_reuseport            in one terminal
//   ./load_client localhost             in another
//   ss -ltn sport = :2000               ten listeners on one port
//
// Look at what a client waits for: it is in the queue of one child, and stays there while that child serves
// another, even if nine children are idle. Next: herd, how many children one connection wakes.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <vector>

#include "bytes_service.hpp"
#include "end_with_parent.hpp"
#include "failed_accept.hpp"
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
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    const auto wanted = static_cast<std::size_t>(given.number('n', 10, 1, 1000));
    start_log();

    // The parent takes these signals one by one, where it waits. They interrupt nothing.
    sigset_t awaited;
    sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&awaited, signal);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &awaited, nullptr));

    endpoint here = resolve(given.address(), given.port(2000)).front();
    std::vector<pid_t> children;
    while (children.size() < wanted) {
        const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
        const int on = 1;
        check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
        check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        check("bind", bind(listener.get(), here.get(), here.size));
        check("listen", listen(listener.get(), SOMAXCONN));
        // With -p 0 the kernel chooses a port for the first. The others take the same.
        check("getsockname", getsockname(listener.get(), here.get(), &here.size));
        if (children.empty()) std::cout << "listening on " << to_string(here) << '\n';
        children.push_back(start_child(listener, awaited));
    }
    int signal = 0;
    sigwait(&awaited, &signal);

    std::cout << "Exiting\n";
    for (const pid_t pid : children) kill(pid, SIGKILL);
    // The port is free when all of them have ended.
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
