// One process, many clients: select waits for all of them at once, and says which of them can be served
// without waiting.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in two others; type a line here, a line there
//
// Look at the diff to lab02's upper_server: the loop of serve has moved to main, and serves all clients. Try
// a client that asks for much and reads nothing (`yes | nc localhost 4444 | sleep 60`): the blocking send
// waits for it, and all others wait, too. The next programs are upper_server_slow, which shows what else
// makes all wait, and upper_server_poll, whose send does not block.
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iostream>
#include <span>
#include <string>
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
bool serve(const client& one) {
    std::array<char, 16384> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file.
    if (received == 0) return false;
    const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
    to_upper(chunk);
    send_all(one.connection, chunk);
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
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
        // BEGIN SOLUTION: put in the set the listener, if not paused, and all clients. Wait (paused: one second).
        int highest = listener.get();
        if (!paused) FD_SET(listener.get(), &readable);
        for (const client& one : clients) {
            FD_SET(one.connection.get(), &readable);
            highest = std::max(highest, one.connection.get());
        }
        timeval limit{.tv_sec = 1, .tv_usec = 0};
        check("select", select(highest + 1, &readable, nullptr, nullptr, paused ? &limit : nullptr));
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
        if (std::erase_if(clients, [](const client& one) { return one.gone; }) > 0) {
            pause.descriptor_freed();
            std::cout << clients.size() << " clients connected\n";
        }

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
        std::cout << clients.size() << " clients connected\n";
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
