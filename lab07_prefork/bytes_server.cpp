// Ten children are there before the first client: each waits in accept on the one listener that all of them
// inherited, and serves one client after the other. The parent serves nobody: it replaces a child that dies.
//
//   ./bytes_server -n 10                in one terminal
//   ./load_client localhost             in another
//   pstree -p $(pgrep -o bytes_server)  the parent and its children
//
// Kill a child, look at the tree, and look again a second later; then kill the parent with -KILL. lab04's
// bytes_server starts a process for each client; here no client waits for a fork. Next: bytes_server_counted.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "bytes_service.hpp"
#include "options.hpp"
#include "posix.hpp"

using clock_type = std::chrono::steady_clock;

struct child {
    pid_t pid = 0;
    clock_type::time_point started;
};

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
child start_child(const unique_fd& listener, const sigset_t& awaited) {
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return {pid, clock_type::now()};
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
    std::vector<child> children(static_cast<std::size_t>(given.number('n', 10, 1, 1000)));
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    sigset_t awaited;  // the parent takes these one by one in sigwait: none comes at a bad moment
    sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM, SIGCHLD}) sigaddset(&awaited, signal);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &awaited, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    for (child& one : children) one = start_child(listener, awaited);
    int signal = 0;
    while (sigwait(&awaited, &signal) == 0 && signal == SIGCHLD) {
        // BEGIN SOLUTION: replace all children that have died, and not at once if one lived less than 1 s.
        bool too_soon = false;
        for (pid_t dead; (dead = waitpid(-1, nullptr, WNOHANG)) > 0;) {
            const auto lost = std::ranges::find(children, dead, &child::pid);
            if (lost == children.end()) continue;  // whoever exec'd this program had started that one
            too_soon |= clock_type::now() - lost->started < std::chrono::seconds{1};
            lost->pid = 0;
        }
        if (too_soon) sleep(1);  // else one that cannot live is started thousands of times a second
        for (child& one : children)
            if (one.pid == 0) one = start_child(listener, awaited);
        // END SOLUTION
    }

    std::cout << "Exiting\n";
    for (const child& one : children) kill(one.pid, SIGKILL);        // best effort: it may be dead already
    for (const child& one : children) waitpid(one.pid, nullptr, 0);  // the port is free when all have gone
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
