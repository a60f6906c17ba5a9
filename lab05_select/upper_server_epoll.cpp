// Ten thousand clients, most of them silent: epoll returns the ready ones only, and the kernel keeps the
// list.
//
//   ./upper_server_epoll                in one terminal
//   nc localhost 4444                   in others
//
// Look at the diff to upper_server_poll: poll takes the list of all clients at each call, and the program
// goes through it afterwards. epoll is told of a change when it happens (epoll_ctl), and epoll_wait returns
// as many events as clients are ready. The next program is upper_server_epoll_edge.
#include <err.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
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

/// Lets epoll report `events` of `fd`; EPOLL_CTL_ADD for a new one, EPOLL_CTL_MOD for another choice of
/// events. Throws std::system_error.
void watch(const unique_fd& epoll, int operation, int fd, std::uint32_t events) {
    epoll_event event{.events = events, .data{.fd = fd}};
    check("epoll_ctl", epoll_ctl(epoll.get(), operation, fd, &event));
}

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

    const unique_fd epoll{check("epoll_create1", epoll_create1(0))};
    watch(epoll, EPOLL_CTL_ADD, listener.get(), EPOLLIN);
    std::array<epoll_event, 256> events{};
    // By descriptor: the kernel gives the lowest free number, so few places stay empty.
    std::vector<client> clients;
    accept_pause pause;
    bool paused = false;
    while (true) {
        if (paused && !pause.active()) {
            paused = false;
            watch(epoll, EPOLL_CTL_MOD, listener.get(), EPOLLIN);
        }
        const int count = epoll_wait(epoll.get(), events.data(), events.size(), paused ? 1000 : -1);
        // It was stopped and continued: man 7 signal.
        if (count == -1 && errno == EINTR) continue;
        check("epoll_wait", count);

        bool accepting = false;
        for (const epoll_event& event : std::span{events}.first(static_cast<std::size_t>(count))) {
            const int fd = event.data.fd;
            if (fd == listener.get()) {
                accepting = true;
                continue;
            }
            client& one = clients[fd];
            const bool had_rest = !one.unsent.empty();
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
                // The kernel takes a descriptor off the list when its last copy is closed.
                clients[fd] = {};
                pause.descriptor_freed();
                continue;
            }
            const bool has_rest = !one.unsent.empty();
            // BEGIN SOLUTION: watch a client with an unsent rest for writing only, others for reading only.
            if (has_rest != had_rest) watch(epoll, EPOLL_CTL_MOD, fd, has_rest ? EPOLLOUT : EPOLLIN);
            // END SOLUTION
        }

        // In one turn at most 64 clients are accepted: those that are connected wait meanwhile.
        for (int times = 0; accepting && times < 64; ++times) {
            endpoint address;
            unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
            const int fd = connection.get();
            if (fd == -1) {
                paused = pause.accept_failed();
                // BEGIN SOLUTION: during a pause, do not watch the listener.
                if (paused) watch(epoll, EPOLL_CTL_MOD, listener.get(), 0);
                // END SOLUTION
                break;
            }
            std::cout << "connected " << to_string(address) << '\n';
            watch(epoll, EPOLL_CTL_ADD, fd, EPOLLIN);
            clients.resize(std::max<std::size_t>(clients.size(), fd + 1));
            clients[fd] = {std::move(connection), to_string(address)};
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
