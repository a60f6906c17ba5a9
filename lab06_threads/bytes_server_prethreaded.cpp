// N bytes for a line with the number N, by threads started beforehand, which all wait in accept.
//
//   ./bytes_server_prethreaded -n 10    in one terminal
//   echo 10 | nc localhost 2000         in another: ten stars
//
// Look at the diff to bytes_server: accept has moved into the threads. No lock is around it, as in
// upper_server_lock: the kernel wakes one of the threads that wait for a client, and gives it to no other.
// lab07 has processes wait like this, and counts how many are woken.
#include <err.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <functional>
#include <iostream>
#include <syncstream>
#include <system_error>
#include <thread>
#include <vector>

#include "bytes_service.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

/// What each thread does, for ever: accepts a client and serves it.
void work(const unique_fd& listener) {
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
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
    const int count = given.number('n', 10, 1, 10'000);
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    std::vector<std::jthread> threads;
    try {
        for (int number = 1; number <= count; ++number) threads.emplace_back(work, std::cref(listener));
    } catch (const std::system_error& error) {
        // Leaving main would join the threads that have begun, and they never end.
        warnx("thread: %s", error.what());
        _exit(1);
    }
    for (std::jthread& thread : threads) thread.join();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
