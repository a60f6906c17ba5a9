// The lecture's pool: N threads are started once, and each accepts one client after the other, by turns.
//
//   ./upper_server_lock -n 2            in one terminal
//   nc localhost 4444                   in three others; type a line in each, then end one of the first two
//
// Look at the third: the kernel has connected it, and it gets its reply when a thread is free. One thread at
// a time waits in accept, and the others wait for the mutex. upper_server_pool, the next program, has one
// thread that accepts and a queue; bytes_server_prethreaded has neither lock nor queue.
#include <err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <span>
#include <syncstream>
#include <system_error>
#include <thread>
#include <vector>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

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

/// What each thread does, for ever: accepts a client and serves it.
void work(const unique_fd& listener, std::mutex& accepting) {
    while (true) {
        endpoint client;
        unique_fd connection;
        {
            // The lock is for accept alone. Held while serving, it would keep the other threads idle.
            const std::lock_guard lock{accepting};
            connection = unique_fd{accept(listener.get(), client.get(), &client.size)};
        }
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        try {
            serve(connection);
        } catch (const std::exception& error) {
            // It ends this client's connection, and not this thread.
            warnx("%s", error.what());
        }
        std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n THREADS]"};
    const int count = given.number('n', 5, 1, 10'000);
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(4444));

    std::mutex accepting;
    std::vector<std::jthread> threads;
    try {
        for (int number = 1; number <= count; ++number)
            threads.emplace_back(work, std::cref(listener), std::ref(accepting));
    } catch (const std::system_error& error) {
        // Leaving main would join the threads that have begun, and they never end.
        warnx("thread: %s", error.what());
        _exit(1);
    }
    for (std::jthread& thread : threads) thread.join();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
