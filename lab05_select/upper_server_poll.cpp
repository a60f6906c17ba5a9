// One process, many clients, and no client that can stall it: poll, with non-blocking connections.
//
//   ./upper_server_poll                      in one terminal
//   yes | nc localhost 4444 | sleep 60       in another: asks for much, reads nothing
//   nc localhost 4444                        in a third: is served at once
//
// Look at what poll waits for: that a client is readable, or, while a part of its reply is unsent, that it is
// writable. So the server keeps at most one chunk for a client. Try `ulimit -n 10` before the start: the
// server is full, says so, and does not spin. The next program is upper_server_epoll.
#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
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
#include "stop.hpp"
#include "to_upper.hpp"

struct client {
    unique_fd connection;
    std::string name;
    // The rest of a reply, in upper case. While there is one, the client is not read.
    std::string unsent{};
};

/// Serves a client once: a chunk that it has sent, or the rest of a reply. Returns false if it sends no more.
/// Throws std::system_error if the connection breaks.
bool serve(client& one) {
    std::array<char, 16384> buffer;
    std::span<const char> reply = one.unsent;
    if (reply.empty()) {
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
        // It was not ready after all: man 2 select, "BUGS".
        if (received == -1 && errno == EAGAIN) return true;
        // 0 is the client's end of file.
        if (check("recv", received) == 0) return false;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        to_upper(chunk);
        reply = chunk;
    }
    // BEGIN SOLUTION: send what the kernel takes now, and keep the rest in `unsent`.
    const auto sent = send(one.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    if (sent == -1 && errno != EAGAIN) check("send", sent);
    const auto rest = reply.subspan(sent == -1 ? 0 : static_cast<std::size_t>(sent));
    one.unsent = std::string{rest.begin(), rest.end()};
    // END SOLUTION
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    const unique_fd listener = listen_on(given.address(), given.port(4444), SOCK_NONBLOCK);

    std::vector<pollfd> watched{{.fd = listener.get(), .events = POLLIN, .revents = 0}};
    // By descriptor: the kernel gives the lowest free number, so few places stay empty.
    std::vector<client> clients;
    accept_pause pause;
    while (true) {
        const bool paused = pause.active();
        // BEGIN SOLUTION: watch the listener, unless paused.
        watched[0].events = paused ? 0 : POLLIN;
        // END SOLUTION
        check("poll", poll(watched.data(), watched.size(), paused ? 1000 : -1));

        for (pollfd& state : std::span{watched}.subspan(1)) {
            if (state.revents == 0) continue;
            client& one = clients[state.fd];
            bool gone = false;
            try {
                gone = !serve(one);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
                gone = true;
            }
            if (gone) {
                std::cout << "disconnected " << one.name << '\n';
                clients[state.fd] = {};
                state.fd = -1;
                pause.descriptor_freed();
                continue;
            }
            // BEGIN SOLUTION: watch a client with an unsent rest for writing only, others for reading only.
            state.events = one.unsent.empty() ? POLLIN : POLLOUT;
            // END SOLUTION
        }
        std::erase_if(watched, [](const pollfd& state) { return state.fd == -1; });

        // In one turn at most 64 clients are accepted: those that are connected wait meanwhile.
        for (int times = 0; watched[0].revents != 0 && times < 64; ++times) {
            endpoint address;
            unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
            const int fd = connection.get();
            if (fd == -1) {
                pause.accept_failed();
                break;
            }
            std::cout << "connected " << to_string(address) << '\n';
            watched.push_back({.fd = fd, .events = POLLIN, .revents = 0});
            clients.resize(std::max<std::size_t>(clients.size(), fd + 1));
            clients[fd] = {std::move(connection), to_string(address)};
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
