// Which child serves how many? Each counts its connections in memory that all of them share, and the parent
// prints the numbers when it is told to stop. A child that dies is not replaced here; see bytes_server.
//
//   ./bytes_server_counted              in one terminal
//   ./load_client -c 15 -t 100 -b 4096 localhost
//                                       in another; then Ctrl-C in the first
//
// Look at the sum: it is exactly the number of connections, because each counter has one writer and is wide
// enough. Next: bytes_server_passing, where the parent accepts and passes the connection to a child.
#include <err.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <exception>
#include <iostream>
#include <span>
#include <vector>

#include "bytes_service.hpp"
#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"

using counter = std::atomic<std::uint64_t>;
// Otherwise it is atomic between the threads of one process only.
static_assert(counter::is_always_lock_free);

/// Returns `size` counters, all 0, in memory that parent and children share. Throws std::system_error.
std::span<counter> make_counters(std::size_t size) {
    std::span<counter> counters;
    // BEGIN SOLUTION: map memory that stays one and the same after fork.
    void* memory =
        mmap(nullptr, size * sizeof(counter), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) check("mmap", -1);
    // The kernel gives zeroed memory.
    counters = {static_cast<counter*>(memory), size};
    // END SOLUTION
    return counters;
}

/// What child `k` does: it serves one client after the other.
[[noreturn]] void work(const unique_fd& listener, std::span<counter> counters, std::size_t k) {
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        // BEGIN SOLUTION: count this connection, before its client can have the reply.
        ++counters[k];
        // END SOLUTION
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

/// Starts child `k` and returns its PID. `awaited` are the signals that the parent has blocked. Throws
/// std::system_error if fork fails.
pid_t start_child(const unique_fd& listener, const sigset_t& awaited, std::span<counter> counters,
                  std::size_t k) {
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return pid;
    try {
        end_with_parent(parent);
        check("sigprocmask", sigprocmask(SIG_UNBLOCK, &awaited, nullptr));
        work(listener, counters, k);
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
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    const std::span<counter> counters = make_counters(wanted);
    std::vector<pid_t> children;
    while (children.size() < wanted)
        children.push_back(start_child(listener, awaited, counters, children.size()));
    int signal = 0;
    sigwait(&awaited, &signal);

    std::cout << "Exiting\n";
    for (const pid_t pid : children) kill(pid, SIGKILL);
    // The port is free when all of them have ended.
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);
    for (std::size_t k = 0; k < counters.size(); ++k)
        std::cout << "child " << k << ": " << counters[k] << " times\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
