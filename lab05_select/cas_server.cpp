// Compare and swap for many clients: one register, one loop, and no lock.
//
//   ./cas_server                                    in one terminal
//   for i in 1 2 3; do nc localhost 22222 & done    (or lab02's cas_client) in others
//
// Look at serve: no other client is served between the comparison and the swap. What needs shared memory in
// lab04 and a lock in lab06, the loop does by serving one client after the other. Half a line cannot wait in
// a local variable of serve, since serve returns after each chunk: so each client has a line_buffer.
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "accept_pause.hpp"
#include "cas_register.hpp"
#include "descriptor_limit.hpp"
#include "line_buffer.hpp"
#include "line_cas.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"

// So many bytes are read and ignored after a refusal.
constexpr std::size_t max_ignored = std::size_t{1} << 20;

struct client {
    unique_fd connection;
    std::string name;
    line_buffer lines{};
    // Its last reply has been sent: a lingering close, in turns.
    bool refused = false;
    std::size_t ignored = 0;
    bool gone = false;
};

/// Serves a client once. Returns false if it sends no more. Throws std::system_error if the connection
/// breaks.
bool serve(client& one, CompareAndSwapRegister& cas_register) {
    std::array<char, 1024> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file. Half a line is no line.
    if (received == 0) return false;
    const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
    if (one.refused) {
        one.ignored += chunk.size();
        return one.ignored < max_ignored;
    }
    one.lines.append(chunk);
    // The replies to one chunk go in one send: many small ones are slow, as lab02's nagle shows.
    std::string replies;
    try {
        while (const auto line = one.lines.next()) replies += line_cas(cas_register, *line) + '\n';
        send_all(one.connection, replies);
    } catch (const line_too_long& error) {
        send_all(one.connection, replies + error.what() + '\n');
        // linger_before_close would block: here it takes turns.
        check("shutdown", shutdown(one.connection.get(), SHUT_WR));
        one.refused = true;
    }
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    // Non-blocking: after select another process may accept the client, and accept would wait (man 2 accept).
    const unique_fd listener = listen_on(given.address(), given.port(22222), SOCK_NONBLOCK);

    // One register for all clients.
    CompareAndSwapRegister cas_register;
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
                one.gone = !serve(one, cas_register);
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
