// What epoll_wait says of one connection after each step, level-triggered and edge-triggered.
//
//   ./epoll_events
//
// The program talks to itself over loopback. Look at the edge column: an event comes once, and reading a part
// of the bytes brings no other one; EPOLL_CTL_MOD does. "out" comes with each arrival although nothing has
// changed for writing. Look at the last two steps: close alone does not remove a descriptor from epoll.
#include <err.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

/// Registers `fd` (EPOLL_CTL_ADD) or re-arms it (EPOLL_CTL_MOD) for input and output.
void watch(const unique_fd& epoll, int operation, int fd, std::uint32_t edge) {
    epoll_event event{.events = EPOLLIN | EPOLLOUT | edge, .data{.fd = fd}};
    check("epoll_ctl", epoll_ctl(epoll.get(), operation, fd, &event));
}

/// Returns what epoll says now, without waiting.
std::string reported(const unique_fd& epoll) {
    epoll_event event{};
    if (check("epoll_wait", epoll_wait(epoll.get(), &event, 1, 0)) == 0) return "-";
    const std::string in = (event.events & EPOLLIN) != 0 ? "in " : "";
    return in + ((event.events & EPOLLOUT) != 0 ? "out" : "");
}

void receive(const unique_fd& socket, std::size_t size) {
    std::array<char, 100> buffer;
    check("recv", recv(socket.get(), buffer.data(), size, MSG_WAITALL));
}

/// Sends so many bytes, and waits until they have arrived.
void send_bytes(const unique_fd& socket, const unique_fd& receiver, std::size_t size) {
    const std::string bytes(size, 'x');
    check("send", send(socket.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    pollfd state{.fd = receiver.get(), .events = POLLIN, .revents = 0};
    check("poll", poll(&state, 1, -1));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    endpoint here = resolve("127.0.0.1", 0).front();
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), 1));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    const unique_fd sender{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    check("connect", connect(sender.get(), here.get(), here.size));
    unique_fd receiver{check("accept", accept(listener.get(), nullptr, nullptr))};

    const unique_fd level{check("epoll_create1", epoll_create1(0))};
    const unique_fd edge{check("epoll_create1", epoll_create1(0))};
    const auto show = [&](const std::string& after) {
        std::cout << std::left << std::setw(40) << after << std::setw(10) << reported(level) << reported(edge)
                  << '\n';
    };
    std::cout << std::left << std::setw(40) << "" << std::setw(10) << "level"
              << "edge\n";
    watch(level, EPOLL_CTL_ADD, receiver.get(), 0);
    watch(edge, EPOLL_CTL_ADD, receiver.get(), EPOLLET);
    show("registered");
    show("asked again");
    send_bytes(sender, receiver, 100);
    show("100 bytes have arrived");
    show("asked again");
    receive(receiver, 50);
    show("50 of them are read");
    watch(edge, EPOLL_CTL_MOD, receiver.get(), EPOLLET);
    show("re-armed with EPOLL_CTL_MOD");
    receive(receiver, 50);
    show("the other 50 are read");

    unique_fd copy{check("dup", dup(receiver.get()))};
    receiver.reset();
    send_bytes(sender, copy, 10);
    show("closed, a copy is open; 10 bytes come");
    copy.reset();
    show("the copy is closed");
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
