// The bytes service in one process: a reply of a gigabyte is many short turns, and no client waits for it.
//
//   ./bytes_server                                              in one terminal
//   (echo 1000000000; sleep 60) | nc localhost 2000 | sleep 60  in another: wants a gigabyte, reads nothing
//   echo 10 | nc localhost 2000                                 in a third: gets ten stars at once
//
// Look at what lab04's process per client keeps in its program counter and its stack: how far the client has
// got. Here it is data. A client asks, gets its reply, and lingers; its state says what select waits for.
#include <err.h>
#include <sys/select.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "accept_pause.hpp"
#include "bytes_request.hpp"
#include "descriptor_limit.hpp"
#include "line_buffer.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

// So many bytes are read and ignored after a reply.
constexpr std::size_t max_ignored = std::size_t{1} << 20;

struct client {
    unique_fd connection;
    std::string name;
    // It asks: its line is assembled here.
    line_buffer lines{};
    // It gets its reply: so many bytes are unsent, of the refusal if there is one, else of stars.
    std::size_t unsent = 0;
    std::string refusal{};
    // Its reply has been sent: a lingering close, in turns.
    bool lingers = false;
    std::size_t ignored = 0;
    bool gone = false;
};

/// Reads from a client once. Returns false if it sends no more. Throws std::system_error if the connection
/// breaks.
bool read_some(client& one) {
    std::array<char, 1024> buffer;
    // Call recv once per turn: a second call might block.
    const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
    // 0 is the client's end of file. Half a line is no line.
    if (received == 0) return false;
    const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
    if (one.lingers) {
        one.ignored += chunk.size();
        return one.ignored < max_ignored;
    }
    one.lines.append(chunk);
    try {
        const auto line = one.lines.next();
        if (!line) return true;
        if (const auto count = parse_request(*line))
            one.unsent = *count;
        else
            one.refusal = "Bad Request\n";
    } catch (const line_too_long& error) {
        one.refusal = error.what() + std::string{"\n"};
    }
    one.unsent += one.refusal.size();
    return true;
}

/// Sends as much of a client's reply as the kernel takes now. Throws std::system_error if the connection
/// breaks.
void send_some(client& one) {
    // One block is sent again and again: no client costs more memory than this.
    static const std::string stars(65536, '*');
    std::string_view reply = one.refusal.empty() ? stars : one.refusal;
    if (one.unsent < reply.size()) reply.remove_prefix(reply.size() - one.unsent);
    const auto sent = send(one.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1 && errno == EAGAIN) return;
    one.unsent -= static_cast<std::size_t>(check("send", sent));
    if (one.unsent > 0) return;
    // linger_before_close would block: here it takes turns.
    check("shutdown", shutdown(one.connection.get(), SHUT_WR));
    one.lingers = true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    // Non-blocking: after select another process may accept the client, and accept would wait (man 2 accept).
    const unique_fd listener = listen_on(given.address(), given.port(2000), SOCK_NONBLOCK);

    std::vector<client> clients;
    accept_pause pause;
    while (true) {
        const bool paused = pause.active();
        fd_set readable;
        fd_set writable;
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        // BEGIN SOLUTION: wait as in upper_server; but a client with unsent bytes until it is writable.
        if (!paused) FD_SET(listener.get(), &readable);
        for (const client& one : clients)
            FD_SET(one.connection.get(), one.unsent > 0 ? &writable : &readable);
        timeval limit{.tv_sec = 1, .tv_usec = 0};
        // Any bound above the highest descriptor will do. upper_server computes the lowest.
        check("select", select(FD_SETSIZE, &readable, &writable, nullptr, paused ? &limit : nullptr));
        // END SOLUTION

        for (client& one : clients) {
            try {
                if (FD_ISSET(one.connection.get(), &writable)) send_some(one);
                if (FD_ISSET(one.connection.get(), &readable)) one.gone = !read_some(one);
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
