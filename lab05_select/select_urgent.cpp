// What select's third set is for: out-of-band data, and what else the three sets say of one connection.
//
//   ./select_urgent
//
// The program talks to itself over loopback. After each step it asks select, without waiting, about the
// receiving end. Look at the order: the urgent byte is announced, and can be received, before the bytes that
// were sent ahead of it; and recv stops at its place in the stream. New protocols do not use it (RFC 6093).
// lab05 ends here.
#include <err.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "options.hpp"
#include "posix.hpp"

/// Waits until poll sees one of `events` at the socket: what was sent has arrived.
void await(const unique_fd& socket, int events) {
    pollfd state{.fd = socket.get(), .events = static_cast<short>(events), .revents = 0};
    check("poll", poll(&state, 1, -1));
}

/// Asks select, with a time limit of zero, and prints what it says.
void ask(std::string_view after, const unique_fd& socket) {
    fd_set readable;
    fd_set writable;
    fd_set exceptional;
    for (fd_set* set : {&readable, &writable, &exceptional}) {
        FD_ZERO(set);
        FD_SET(socket.get(), set);
    }
    timeval at_once{};
    check("select", select(socket.get() + 1, &readable, &writable, &exceptional, &at_once));
    std::string said;
    if (FD_ISSET(socket.get(), &readable)) said += " readable";
    if (FD_ISSET(socket.get(), &writable)) said += " writable";
    if (FD_ISSET(socket.get(), &exceptional)) said += " exceptional";
    std::cout << after << ':' << said << '\n';
}

/// Receives up to 100 bytes, and returns them in quotation marks.
std::string receive(const unique_fd& socket, int flags) {
    std::array<char, 100> buffer;
    const auto size = check("recv", recv(socket.get(), buffer.data(), buffer.size(), flags));
    return "'" + std::string{buffer.data(), static_cast<std::size_t>(size)} + "'";
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    endpoint address = resolve("127.0.0.1", 0).front();
    const unique_fd listener{check("socket", socket(address.storage.ss_family, SOCK_STREAM, 0))};
    check("bind", bind(listener.get(), address.get(), address.size));
    check("listen", listen(listener.get(), 1));
    check("getsockname", getsockname(listener.get(), address.get(), &address.size));
    unique_fd sender{check("socket", socket(address.storage.ss_family, SOCK_STREAM, 0))};
    check("connect", connect(sender.get(), address.get(), address.size));
    const unique_fd receiver{check("accept", accept(listener.get(), nullptr, nullptr))};
    ask("connected", receiver);

    check("send", send(sender.get(), "abc", 3, MSG_NOSIGNAL));
    await(receiver, POLLIN);
    ask("'abc' sent", receiver);

    check("send", send(sender.get(), "!", 1, MSG_NOSIGNAL | MSG_OOB));
    await(receiver, POLLPRI);
    check("send", send(sender.get(), "def", 3, MSG_NOSIGNAL));
    ask("'!' sent out of band, then 'def'", receiver);

    ask("recv with MSG_OOB gets " + receive(receiver, MSG_OOB), receiver);
    ask("recv gets " + receive(receiver, 0), receiver);
    std::cout << "sockatmark: " << check("sockatmark", sockatmark(receiver.get())) << '\n';
    await(receiver, POLLIN);
    ask("recv gets " + receive(receiver, 0), receiver);

    sender.reset();
    await(receiver, POLLIN | POLLRDHUP);
    ask("sender closed", receiver);
    std::cout << "recv gets " << receive(receiver, 0) << ": the end\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
