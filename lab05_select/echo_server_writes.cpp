// The echo service that no client can stall: select waits until a client can be written, too.
//
//   ./echo_server_writes                     in one terminal: ports 50007 and 50008
//   yes | nc localhost 50007 | sleep 60      in another: asks for much, reads nothing
//   ./echo_client localhost Hello            (lab02's) in a third: is served at once
//
// Look at the diff to echo_server: the server keeps a reply until select says that the client is writable.
// What it keeps is bounded. It does not read from a client with max_output bytes of replies waiting, so that
// client's own sends wait in the end: backpressure. callback_server has the same loop in a library.
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "accept_pause.hpp"
#include "descriptor_limit.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

// This and one reply is the most that is kept for a client.
constexpr std::size_t max_output = 65536;

struct client {
    unique_fd connection;
    std::string name;
    // The replies that the client has not taken yet.
    std::string output{};
    // The client sends no more.
    bool ended = false;
    bool gone = false;
};

/// Reads from a client once, and appends the reply to its output. Throws std::system_error if the connection
/// breaks.
void read_some(client& from) {
    std::array<char, 1024> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(from.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file.
    from.ended = received == 0;
    if (from.ended) return;
    const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
    from.output += "Echo=>" + chunk + " at " + now();
}

/// Sends as much of a client's output as the kernel takes now. Throws std::system_error if the connection
/// breaks.
void write_some(client& to) {
    // BEGIN SOLUTION: send without blocking, and keep in `output` the bytes that were not sent.
    const auto sent =
        send(to.connection.get(), to.output.data(), to.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1 && errno == EAGAIN) return;
    to.output.erase(0, static_cast<std::size_t>(check("send", sent)));
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const int port = given.number('p', 50007, 0, 65534);
    const std::chrono::duration<double> work{given.number('d', 0.0, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    // Non-blocking: after select another process may accept the client, and accept would wait (man 2 accept).
    std::vector<unique_fd> listeners;
    listeners.push_back(listen_on(given.address(), port, SOCK_NONBLOCK));
    // With -p 0 the kernel chooses this port, too.
    listeners.push_back(listen_on(given.address(), port == 0 ? 0 : port + 1, SOCK_NONBLOCK));

    std::vector<client> clients;
    accept_pause pause;
    while (true) {
        const bool paused = pause.active();
        fd_set readable;
        fd_set writable;
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        if (!paused)
            for (const unique_fd& listener : listeners) FD_SET(listener.get(), &readable);
        for (const client& one : clients) {
            // BEGIN SOLUTION: watch a client with output for writing, and for reading unless it has max_output or more.
            if (!one.output.empty()) FD_SET(one.connection.get(), &writable);
            if (!one.ended && one.output.size() < max_output) FD_SET(one.connection.get(), &readable);
            // END SOLUTION
        }
        timeval limit{.tv_sec = 1, .tv_usec = 0};
        // Any bound above the highest descriptor will do. upper_server computes the lowest.
        check("select", select(FD_SETSIZE, &readable, &writable, nullptr, paused ? &limit : nullptr));

        for (client& one : clients) {
            try {
                if (FD_ISSET(one.connection.get(), &writable)) write_some(one);
                if (FD_ISSET(one.connection.get(), &readable)) read_some(one);
                one.gone = one.ended && one.output.empty();
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
                one.gone = true;
            }
            if (one.gone) std::cout << "disconnected " << one.name << '\n';
        }
        if (std::erase_if(clients, [](const client& one) { return one.gone; }) > 0) pause.descriptor_freed();

        for (const unique_fd& listener : listeners) {
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
            // Simulated work: a query to a database, for example.
            std::this_thread::sleep_for(work);
            clients.push_back({std::move(connection), to_string(address)});
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
