// The echo service on two ports: select waits for any number of listeners as it does for clients.
//
//   ./echo_server                                    in one terminal: ports 50007 and 50008
//   ./echo_client [-p 50008] localhost Sir Lancelot  (lab02's) in two others, one for each port
//
// Look at -d 2, two seconds of simulated work for each new client: one loop serves all clients, so all wait.
// They also wait when a send blocks, because one client does not read: echo_server_writes cures that.
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
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
#include "send_all.hpp"
#include "stop.hpp"

struct client {
    unique_fd connection;
    std::string name;
    bool gone = false;
};

/// Serves a client once. Returns false if it sends no more. Throws std::system_error if the connection
/// breaks.
bool serve(const client& one) {
    std::array<char, 1024> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file.
    if (received == 0) return false;
    const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
    send_all(one.connection, "Echo=>" + chunk + " at " + now());
    return true;
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
        FD_ZERO(&readable);
        // BEGIN SOLUTION: wait until a listener or a client is ready, as in upper_server.
        if (!paused)
            for (const unique_fd& listener : listeners) FD_SET(listener.get(), &readable);
        for (const client& one : clients) FD_SET(one.connection.get(), &readable);
        timeval limit{.tv_sec = 1, .tv_usec = 0};
        // Any bound above the highest descriptor will do. upper_server computes the lowest.
        check("select", select(FD_SETSIZE, &readable, nullptr, nullptr, paused ? &limit : nullptr));
        // END SOLUTION

        for (client& one : clients) {
            if (!FD_ISSET(one.connection.get(), &readable)) continue;
            try {
                one.gone = !serve(one);
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
