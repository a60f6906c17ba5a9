// A pool behind a queue: one thread accepts clients and puts them into a blocking_queue, N threads take them
// out.
//
//   ./upper_server_pool -n 2            in one terminal
//   nc localhost 4444                   in three others; type a line in each, then end one of the first two
//
// Look at the third: it gets its reply when a thread is free. At most N clients are served at once, at most N
// wait in the queue, and at most one waits for room in it; the kernel keeps the others in the backlog. This
// is backpressure: however many clients come, the server's memory is bounded. Next: upper_server_graceful.
#include <err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <span>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "blocking_queue.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

struct visitor {
    unique_fd connection;
    endpoint client;
};

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

/// What each thread of the pool does, for ever. Whatever a client does, the pool keeps all its threads.
void work(fifo_queue<visitor>& waiting) {
    // BEGIN SOLUTION: for ever: take a client from the queue, serve it, close its connection, log that it has gone.
    while (const std::optional<visitor> next = waiting.get()) {
        try {
            serve(next->connection);
        } catch (const std::exception& error) {
            // It ends this client's connection, and not this thread.
            warnx("%s", error.what());
        }
        std::osyncstream{std::cout} << "disconnected " << to_string(next->client) << '\n';
    }
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n THREADS]"};
    const int count = given.number('n', 5, 1, 10'000);
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(4444));

    fifo_queue<visitor> waiting{static_cast<std::size_t>(count)};
    std::vector<std::jthread> pool;
    try {
        for (int number = 1; number <= count; ++number) pool.emplace_back(work, std::ref(waiting));
    } catch (const std::system_error& error) {
        // Leaving main would join the threads that have begun, and they never end.
        warnx("thread: %s", error.what());
        _exit(1);
    }
    while (true) {
        visitor next;
        // BEGIN SOLUTION: accept a client; if accept fails, rest; log that it has connected, and put it into the queue.
        next.connection = unique_fd{accept(listener.get(), next.client.get(), &next.client.size)};
        if (next.connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(next.client) << '\n';
        waiting.put(std::move(next));
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
