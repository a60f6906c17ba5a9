// Which child serves how many? Each counts its connections in memory that all of them share, and the parent
// prints the numbers when it is told to stop. Kept simple: a child that dies is not replaced; see
// bytes_server.
//
//   ./bytes_server_counted              in one terminal
//   ./load_client -c 15 -t 100 -b 4096 localhost
//                                       in another; then Ctrl-C in the first
//
// Look at the sum: it is exactly the number of connections, because each counter has one writer and is wide
// enough. Next: bytes_server_passing, where the parent accepts and a child is handed the connection.
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "bytes_service.hpp"
#include "options.hpp"
#include "posix.hpp"

using counter = std::atomic<std::uint64_t>;
static_assert(counter::is_always_lock_free);  // else it would be atomic between threads, not processes

/// Returns `size` counters, all 0, in memory that parent and children share.
std::span<counter> make_counters(std::size_t size) {
    std::span<counter> counters;
    // BEGIN SOLUTION: map memory that stays one and the same after fork.
    void* memory =
        mmap(nullptr, size * sizeof(counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) check("mmap", -1);
    counters = {static_cast<counter*>(memory), size};  // the kernel gives zeroed memory
    // END SOLUTION
    return counters;
}

/// What child `k` does: it serves whoever accept gives to it, one client after the other.
[[noreturn]] void work(const unique_fd& listener, std::span<counter> counters, std::size_t k) {
    while (true) {
        endpoint client;
        const int accepted = accept(listener.get(), client.get(), &client.size);
        if (accepted == -1 && errno == ECONNABORTED) continue;  // that client has gone again
        const unique_fd connection{check("accept", accepted)};
        // BEGIN SOLUTION: count this connection, before its client can have the reply.
        ++counters[k];
        // END SOLUTION
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

/// Starts child `k`, which never returns. `awaited` are the signals that the parent has blocked.
pid_t start_child(const unique_fd& listener, const sigset_t& awaited, std::span<counter> counters,
                  std::size_t k) {
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return pid;
    try {
        check("prctl", prctl(PR_SET_PDEATHSIG, SIGKILL));  // the child ends when the parent ends,
        if (getppid() != parent) _exit(1);                 // or has ended already
        check("sigprocmask", sigprocmask(SIG_UNBLOCK, &awaited, nullptr));
        work(listener, counters, k);
    } catch (const std::exception& error) {
        std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    }
    _exit(1);  // a child never falls back into its parent's loop
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    std::vector<pid_t> children(static_cast<std::size_t>(given.number('n', 10, 1, 1000)));
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    sigset_t awaited;  // the parent takes these one by one in sigwait: none comes at a bad moment
    sigemptyset(&awaited);
    for (const int signal : {SIGINT, SIGTERM}) sigaddset(&awaited, signal);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &awaited, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    const std::span<counter> counters = make_counters(children.size());
    for (std::size_t k = 0; k < children.size(); ++k)
        children[k] = start_child(listener, awaited, counters, k);
    int signal = 0;
    sigwait(&awaited, &signal);

    std::cout << "Exiting\n";
    for (const pid_t pid : children) kill(pid, SIGKILL);        // best effort: it may be dead already
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);  // the port is free when all have gone
    for (std::size_t k = 0; k < counters.size(); ++k)
        std::cout << "child " << k << ": " << counters[k] << " times\n";
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
