// Slow requests and an event loop: the loop hands each request to a pool, and an eventfd tells it of the
// reply.
//
//   ./upper_server_slow_pool -d 0.5     in one terminal
//   nc localhost 4444                   in several others; type a line in each, quickly
//
// Look at the replies: with lab05's upper_server_slow the last of five came after five times half a second,
// here all five come at once. The loop never sleeps for a request, and no thread touches a connection. A
// client's next request is not read before the last reply has come, so replies keep their order. While the
// queue is full no request is read at all: the clients feel it (backpressure), and the server's memory is
// bounded.
#include <err.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <iostream>
#include <list>
#include <optional>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "accept_pause.hpp"
#include "blocking_queue.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

struct client {
    unique_fd connection;
    std::string name;
    // The rest of a reply.
    std::string unsent{};
    // Its request is in the pool. Until the reply has come, the client is not watched, so it stays in the
    // list.
    bool at_work = false;
    bool gone = false;
};

// On its way to the pool a request, on its way back a reply.
struct job {
    client* owner = nullptr;
    std::string bytes;
};

/// Wakes the loop; eventfd(2).
void wake(const unique_fd& wakeup) {
    const std::uint64_t one = 1;
    check("write", write(wakeup.get(), &one, sizeof one));
}

/// What each thread of the pool does, for ever.
void work(fifo_queue<job>& requests, fifo_queue<job>& replies, const unique_fd& wakeup,
          std::chrono::duration<double> time) {
    // BEGIN SOLUTION: for ever: take a request; tell the loop that there is room; work; hand the reply back, and tell.
    while (std::optional<job> next = requests.get()) {
        wake(wakeup);
        // Simulated work: a query to a database, for example.
        std::this_thread::sleep_for(time);
        to_upper(next->bytes);
        replies.put(std::move(*next));
        wake(wakeup);
    }
    // END SOLUTION
}

/// Returns for what to watch a client, 0 for nothing; `full`: the queue of requests has no room.
short interest(const client& one, bool full) {
    short events = POLLIN;
    // BEGIN SOLUTION: nothing while its request is at work; its reply before its next request; if full, no request.
    if (full) events = 0;
    if (!one.unsent.empty()) events = POLLOUT;
    if (one.at_work) events = 0;
    // END SOLUTION
    return events;
}

/// Sends a part of a reply, or takes the next request. Returns false if the client sends no more. Throws
/// std::system_error if the connection breaks.
bool serve(client& one, fifo_queue<job>& requests) {
    if (!one.unsent.empty()) {
        const auto sent = send(one.connection.get(), one.unsent.data(), one.unsent.size(), MSG_NOSIGNAL);
        if (sent == -1 && errno == EAGAIN) return true;
        one.unsent.erase(0, static_cast<std::size_t>(check("send", sent)));
        return true;
    }
    std::array<char, 16384> buffer;
    const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
    // It was not ready after all: man 2 select, "BUGS".
    if (received == -1 && errno == EAGAIN) return true;
    // 0 is the client's end of file.
    if (check("recv", received) == 0) return false;
    one.at_work = true;
    requests.put({&one, {buffer.data(), static_cast<std::size_t>(received)}});
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "padn", "[-p PORT] [-a ADDRESS] [-d SECONDS] [-n THREADS]"};
    const std::chrono::duration<double> time{given.number('d', 0.2, 0.0, 3600.0)};
    const int count = given.number('n', 5, 1, 10'000);
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(4444), SOCK_NONBLOCK);

    const unique_fd wakeup{check("eventfd", eventfd(0, EFD_NONBLOCK))};
    const auto capacity = static_cast<std::size_t>(count);
    fifo_queue<job> requests{capacity};
    // At most one for each client.
    fifo_queue<job> replies;
    std::vector<std::jthread> pool;
    try {
        for (int number = 1; number <= count; ++number)
            pool.emplace_back(work, std::ref(requests), std::ref(replies), std::cref(wakeup), time);
    } catch (const std::system_error& error) {
        // Leaving main would join the threads that have begun, and they never end.
        warnx("thread: %s", error.what());
        _exit(1);
    }

    std::list<client> clients;
    accept_pause pause;
    while (true) {
        const bool paused = pause.active();
        std::vector<pollfd> watched{{listener.get(), POLLIN, 0}, {wakeup.get(), POLLIN, 0}};
        if (paused) watched[0].events = 0;
        const bool full = requests.size() == capacity;
        // The client of watched[i + 2] is watched_clients[i].
        std::vector<std::list<client>::iterator> watched_clients;
        for (auto one = clients.begin(); one != clients.end(); ++one) {
            const short events = interest(*one, full);
            if (events == 0) continue;
            watched.push_back({one->connection.get(), events, 0});
            watched_clients.push_back(one);
        }
        check("poll", poll(watched.data(), watched.size(), paused ? 1000 : -1));

        // BEGIN SOLUTION: make the eventfd 0 again; take all replies that have come, and keep them for sending.
        std::uint64_t wakeups = 0;
        if (watched[1].revents != 0) check("read", read(wakeup.get(), &wakeups, sizeof wakeups));
        while (std::optional<job> reply = replies.try_get()) {
            reply->owner->unsent = std::move(reply->bytes);
            reply->owner->at_work = false;
        }
        // END SOLUTION

        for (std::size_t i = 0; i < watched_clients.size(); ++i) {
            client& one = *watched_clients[i];
            if (watched[i + 2].revents == 0) continue;
            // Earlier clients have filled the queue in this turn.
            if (one.unsent.empty() && requests.size() == capacity) continue;
            try {
                one.gone = !serve(one, requests);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
                one.gone = true;
            }
            if (one.gone) std::cout << "disconnected " << one.name << '\n';
            // The clients before it come first in the next turn: no client starves.
            if (one.at_work) clients.splice(clients.end(), clients, watched_clients[i]);
        }
        if (std::erase_if(clients, [](const client& one) { return one.gone; }) > 0) pause.descriptor_freed();

        if (watched[0].revents == 0) continue;
        endpoint address;
        unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
        if (connection.get() == -1) {
            pause.accept_failed();
            continue;
        }
        std::cout << "connected " << to_string(address) << '\n';
        clients.push_back({std::move(connection), to_string(address)});
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
