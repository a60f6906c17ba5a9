// epoll, edge-triggered: epoll_wait reports that something has arrived, and not that something is there.
//
//   ./upper_server_epoll_edge           in one terminal
//   nc localhost 4444                   in others
//
// Look at the diff to upper_server_epoll: what an event has announced must be used up, but not all in one
// turn, since other clients wait. So a client that is not drained is re-armed, and so is the listener. In
// return no system call changes what a client is watched for. The next program is echo_server.
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
    // It can be served further, and no event will say so.
    bool again = false;
};

/// Registers `fd` with epoll (EPOLL_CTL_ADD), or re-arms it (EPOLL_CTL_MOD): if it is ready now, the next
/// epoll_wait says so. Throws std::system_error.
void watch(const unique_fd& epoll, int operation, int fd) {
    // BEGIN SOLUTION: watch for input, output, urgent data and the end of the input, edge-triggered.
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLPRI | EPOLLRDHUP | EPOLLET, .data{.fd = fd}};
    check("epoll_ctl", epoll_ctl(epoll.get(), operation, fd, &event));
    // END SOLUTION
}

/// Serves a client once: a chunk that it has sent, or the rest of a reply. Returns false if it sends no more.
/// `events` are those that epoll_wait has reported. Throws std::system_error if the connection breaks.
bool serve(client& one, std::uint32_t events) {
    std::array<char, 16384> buffer;
    std::span<const char> reply = one.unsent;
    one.again = !reply.empty();
    if (reply.empty()) {
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
        // It is drained: an event will tell of more.
        if (received == -1 && errno == EAGAIN) return true;
        // 0 is the client's end of file.
        if (check("recv", received) == 0) return false;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        to_upper(chunk);
        reply = chunk;
        // A short read has drained it (epoll(7), last question), unless more than data was reported: the end
        // of the input, or urgent data, where recv stops.
        one.again = chunk.size() == buffer.size() || (events & ~(EPOLLIN | EPOLLOUT)) != 0;
    }
    // BEGIN SOLUTION: send what the kernel takes now, and keep the rest in `unsent` until an event.
    const auto sent = send(one.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    if (sent == -1 && errno != EAGAIN) check("send", sent);
    const auto rest = reply.subspan(sent == -1 ? 0 : static_cast<std::size_t>(sent));
    one.unsent = std::string{rest.begin(), rest.end()};
    // An event will tell when the kernel takes more.
    if (!rest.empty()) one.again = false;
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
    watch(epoll, EPOLL_CTL_ADD, listener.get());
    std::array<epoll_event, 256> events{};
    // By descriptor: the kernel gives the lowest free number, so few places stay empty.
    std::vector<client> clients;
    accept_pause pause;
    bool paused = false;
    while (true) {
        if (paused && !pause.active()) {
            paused = false;
            watch(epoll, EPOLL_CTL_MOD, listener.get());
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
            bool gone = false;
            try {
                gone = !serve(one, event.events);
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
            // BEGIN SOLUTION: re-arm a client that can be served further when no event will say so.
            if (one.again) watch(epoll, EPOLL_CTL_MOD, fd);
            // END SOLUTION
        }

        // In one turn at most 64 clients are accepted: those that are connected wait meanwhile.
        for (int times = 0; accepting && times < 64; ++times) {
            endpoint address;
            unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
            const int fd = connection.get();
            if (fd == -1) {
                // Others may wait behind a client that has gone. Otherwise an event or the end of the pause
                // will tell of the next one.
                accepting = errno == ECONNABORTED;
                paused = pause.accept_failed();
                break;
            }
            std::cout << "connected " << to_string(address) << '\n';
            watch(epoll, EPOLL_CTL_ADD, fd);
            clients.resize(std::max<std::size_t>(clients.size(), fd + 1));
            clients[fd] = {std::move(connection), to_string(address)};
        }
        // More clients may wait, and no event will say so.
        if (accepting) watch(epoll, EPOLL_CTL_MOD, listener.get());
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
