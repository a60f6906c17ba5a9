// A listening socket for each child, all on one port: with SO_REUSEPORT the kernel deals new connections to
// the sockets by a hash of their addresses. No child shares a queue with another.
//
//   ./bytes_server_reuseport            in one terminal
//   ./load_client localhost             in another
//   ss -ltn sport = :2000               ten listeners on one port
//
// Look at what a client waits for: it is in the queue of one child, and stays there while that child serves
// another, even if nine children are idle. Next: herd, how many children one connection wakes.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "bytes_service.hpp"
#include "options.hpp"
#include "posix.hpp"

/// What a child does: it serves whoever accept gives to it, one client after the other.
[[noreturn]] void work(const unique_fd& listener) {
    while (true) {
        endpoint client;
        const int accepted = accept(listener.get(), client.get(), &client.size);
        if (accepted == -1 && errno == ECONNABORTED) continue;  // that client has gone again
        const unique_fd connection{check("accept", accepted)};
        const std::string name = to_string(client);
        std::cout << "connected " << name << '\n';
        try {
            serve(connection);
        } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
        std::cout << "disconnected " << name << '\n';
    }
}

/// Starts a child, which never returns. `awaited` are the signals that the parent has blocked.
pid_t start_child(const unique_fd& listener, const sigset_t& awaited) {
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return pid;
    try {
        check("prctl", prctl(PR_SET_PDEATHSIG, SIGKILL));  // the child ends when the parent ends,
        if (getppid() != parent) _exit(1);                 // or has ended already
        check("sigprocmask", sigprocmask(SIG_UNBLOCK, &awaited, nullptr));
        work(listener);
    } catch (const std::exception& error) {
        std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    }
    _exit(1);  // a child never falls back into its parent's loop
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    const auto wanted = static_cast<std::size_t>(given.number('n', 10, 1, 1000));
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    sigset_t awaited;  // the parent takes these one by one in sigwait: none comes at a bad moment
    sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&awaited, signal);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &awaited, nullptr));

    std::vector<pid_t> children;
    while (children.size() < wanted) {
        const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
        const int on = 1;
        check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
        check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
        check("bind", bind(listener.get(), here.get(), here.size));
        check("listen", listen(listener.get(), SOMAXCONN));
        check("getsockname", getsockname(listener.get(), here.get(), &here.size));  // the port of all
        if (children.empty()) std::cout << "listening on " << to_string(here) << '\n';
        children.push_back(start_child(listener, awaited));
    }
    int signal = 0;
    sigwait(&awaited, &signal);

    std::cout << "Exiting\n";
    for (const pid_t pid : children) kill(pid, SIGKILL);        // best effort: it may be dead already
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);  // the port is free when all have gone
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
