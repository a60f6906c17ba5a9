// Broken: each request takes a while in the loop (-d 0.2 seconds), and each client waits for all others.
//
//   ./upper_server_slow -d 0.5          in one terminal
//   nc localhost 4444                   in several others; type a line in each, quickly
//
// Look at the replies: with N clients that ask at once the last is answered after N times half a second,
// although the process sleeps most of the time. Work in the loop must be short; long work belongs in another
// process (lab04) or thread (lab06).
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "accept_pause.hpp"
#include "descriptor_limit.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

struct client {
    unique_fd connection;
    std::string name;
    bool gone = false;
};

/// Serves a client once. Returns false if it sends no more. Throws std::system_error if the connection
/// breaks.
bool serve(const client& one, std::chrono::duration<double> work) {
    std::array<char, 16384> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file.
    if (received == 0) return false;
    const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
    // Simulated work: a query to a database, for example.
    std::this_thread::sleep_for(work);
    to_upper(chunk);
    send_all(one.connection, chunk);
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const std::chrono::duration<double> work{given.number('d', 0.2, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    // Non-blocking: after select another process may accept the client, and accept would wait (man 2 accept).
    const unique_fd listener = listen_on(given.address(), given.port(4444), SOCK_NONBLOCK);

    std::vector<client> clients;
    accept_pause pause;
    while (true) {
        const bool paused = pause.active();
        fd_set readable;
        FD_ZERO(&readable);
        // BEGIN SOLUTION: wait until the listener or a client is ready, as in upper_server.
        if (!paused) FD_SET(listener.get(), &readable);
        for (const client& one : clients) FD_SET(one.connection.get(), &readable);
        timeval limit{.tv_sec = 1, .tv_usec = 0};
        // Any bound above the highest descriptor will do. upper_server computes the lowest.
        check("select", select(FD_SETSIZE, &readable, nullptr, nullptr, paused ? &limit : nullptr));
        // END SOLUTION

        for (client& one : clients) {
            if (!FD_ISSET(one.connection.get(), &readable)) continue;
            try {
                one.gone = !serve(one, work);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
                one.gone = true;
            }
            if (one.gone) std::cout << "disconnected " << one.name << '\n';
        }
        if (std::erase_if(clients, [](const client& one) { return one.gone; }) > 0) pause.descriptor_freed();

        if (!FD_ISSET(listener.get(), &readable)) continue;
        endpoint address;
        unique_fd connection{accept(listener.get(), address.get(), &address.size)};
        if (connection.get() == -1) {
            pause.accept_failed();
            continue;
        }
        // FD_SET would write beyond the end of the set.
        if (connection.get() >= FD_SETSIZE) {
            std::cout << "refused " << to_string(address) << ": too many clients\n";
            continue;
        }
        std::cout << "connected " << to_string(address) << '\n';
        clients.push_back({std::move(connection), to_string(address)});
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
