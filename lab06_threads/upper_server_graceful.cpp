// A clean end: on SIGINT or SIGTERM the server says Goodbye to each client, and joins each thread.
//
//   ./upper_server_graceful             in one terminal; later Ctrl-C
//   nc localhost 4444                   in two others; type a line in each
//
// Look at the signal handler: it sets a flag and wakes main, and main does the rest, where any call
// is allowed. poll waits for an eventfd beside the listener; lab08 does the same with a pipe.
// Look at how a thread that waits in recv is woken: shutdown ends the reading of its connection. A client
// that does not read cannot keep the server: after two seconds its connection is cut off. Next:
// upper_server_slow_pool.
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <list>
#include <span>
#include <string_view>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "to_upper.hpp"

constexpr std::chrono::seconds patience{2};

struct visitor {
    visitor(unique_fd its_connection, endpoint its_address)
        : connection{std::move(its_connection)}, client{its_address} {}

    unique_fd connection;
    endpoint client;
    std::atomic<bool> has_gone = false;
    // Declared last, so destroyed first: it joins before the connection is closed.
    std::jthread thread{};
};

std::atomic<bool> stopping = false;
// An eventfd: poll waits for it beside the listener.
int wakeup = -1;

/// Wakes main; async-signal-safe. A thread does so at its end, and the signal handler for the end of all.
void wake_main() {
    const int saved = errno;
    const std::uint64_t one = 1;
    // Best effort: it can only fail when 2^64 - 2 wake-ups were not read yet.
    [[maybe_unused]] const auto written = write(wakeup, &one, sizeof one);
    errno = saved;
}

extern "C" void on_stop(int) {
    stopping = true;
    wake_main();
}

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file, or main has shut down the reading.
        if (received == 0) return;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        to_upper(chunk);
        send_all(connection, chunk);
    }
}

/// The function of a client's thread.
void serve_visitor(visitor& mine) {
    try {
        serve(mine.connection);
        if (stopping) send_all(mine.connection, std::string_view{"Goodbye\n"});
    } catch (const std::exception& error) {
        // It ends this client's connection, and no other.
        warnx("%s", error.what());
    }
    // The client sees the end now; main closes the descriptor when it has joined this thread.
    shutdown(mine.connection.get(), SHUT_RDWR);
    std::osyncstream{std::cout} << "disconnected " << to_string(mine.client) << '\n';
    mine.has_gone = true;
    wake_main();
}

/// Waits until the listener is ready or main is woken, at most `limit` milliseconds; -1 is no limit.
void wait_for_news(const unique_fd& listener, int limit) {
    std::array<pollfd, 2> watched{{{listener.get(), POLLIN, 0}, {wakeup, POLLIN, 0}}};
    if (poll(watched.data(), watched.size(), limit) == -1 && errno != EINTR) check("poll", -1);
    std::uint64_t times = 0;
    // EAGAIN if nothing has woken it.
    if (read(wakeup, &times, sizeof times) == -1 && errno != EAGAIN) check("read", -1);
}

/// Shuts down each connection, so that its thread ends; joins those that have ended within two seconds or so.
void say_goodbye(std::list<visitor>& visitors) {
    // BEGIN SOLUTION: end the reading of each connection, wait until all have gone, but not too long; then cut off.
    const unique_fd none;
    for (const visitor& one : visitors) shutdown(one.connection.get(), SHUT_RD);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    while (!visitors.empty() && std::chrono::steady_clock::now() < deadline) {
        wait_for_news(none, 100);
        std::erase_if(visitors, [](const visitor& one) { return one.has_gone.load(); });
    }
    for (const visitor& one : visitors) shutdown(one.connection.get(), SHUT_RDWR);
    visitors.clear();
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    const unique_fd owned_wakeup{check("eventfd", eventfd(0, EFD_NONBLOCK))};
    wakeup = owned_wakeup.get();
    struct sigaction action = {};
    action.sa_handler = on_stop;
    // The threads' recv and send go on after the handler.
    action.sa_flags = SA_RESTART;
    check("sigaction", sigaction(SIGINT, &action, nullptr));
    check("sigaction", sigaction(SIGTERM, &action, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(4444), SOCK_NONBLOCK);

    std::list<visitor> visitors;
    while (!stopping) {
        wait_for_news(listener, -1);
        // Join the threads that have ended, and close their connections.
        std::erase_if(visitors, [](const visitor& one) { return one.has_gone.load(); });
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        visitor& next = visitors.emplace_back(std::move(connection), client);
        try {
            next.thread = std::jthread{[&next] { serve_visitor(next); }};
        } catch (const std::system_error& error) {
            warnx("thread: %s", error.what());
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
            visitors.pop_back();
        }
    }
    listener.reset();
    say_goodbye(visitors);
    std::cout << "Exiting\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
