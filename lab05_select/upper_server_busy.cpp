// Broken: many clients in one process by asking each of them, all the time, whether it has sent something.
//
//   ./upper_server_busy                 in one terminal
//   top                                 in another: a whole CPU, before the first client has come
//
// Look at strace -c -p PID: a million calls that all say "nothing yet" (EAGAIN). The answers are right, but
// the process could sleep until there is something to do: upper_server.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
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
    const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    // Nothing yet: ask again.
    if (received == -1 && errno == EAGAIN) return true;
    // 0 is the client's end of file.
    if (check("recv", received) == 0) return false;
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
    const unique_fd listener = listen_on(given.address(), given.port(4444), SOCK_NONBLOCK);

    std::vector<client> clients;
    accept_pause pause;
    while (true) {
        for (client& one : clients) {
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

        if (pause.active()) continue;
        endpoint address;
        unique_fd connection{accept(listener.get(), address.get(), &address.size)};
        if (connection.get() == -1) {
            // No client waits (EAGAIN): ask again. Or no descriptor is left.
            pause.accept_failed();
            continue;
        }
        std::cout << "connected " << to_string(address) << '\n';
        clients.push_back({std::move(connection), to_string(address)});
        std::cout << clients.size() << " clients connected\n";
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
