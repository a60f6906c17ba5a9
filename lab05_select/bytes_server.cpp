// The bytes service in one process: a reply of a gigabyte is many short turns, and nobody waits for it.
//
//   ./bytes_server                                              in one terminal
//   (echo 1000000000; sleep 60) | nc localhost 2000 | sleep 60  in another: wants a gigabyte, reads none
//   echo 10 | nc localhost 2000                                 in a third: gets ten stars at once
//
// Look at what a process per client (lab04) keeps in its program counter and its stack: how far the client
// has got. Here that is data: a client asks, is replied to, and finishes. select is asked accordingly.
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "descriptor_limit.hpp"
#include "line_buffer.hpp"
#include "options.hpp"
#include "posix.hpp"

constexpr std::size_t most_bytes = std::size_t{1} << 30;
constexpr std::size_t max_ignored = std::size_t{1} << 20;  // bytes read after a reply

struct client {
    unique_fd connection;
    std::string name;
    line_buffer lines{};     // while it asks
    std::string refusal{};   // the reply if the line was wrong; else it is stars
    std::size_t unsent = 0;  // bytes of the reply
    bool finishing = false;  // everything is sent; what the client still sends is ignored
    std::size_t ignored = 0;
};

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns the number that `line` asks for; nothing if it is not a decimal number from 1 to most_bytes.
std::optional<std::size_t> parse_request(std::string_view line) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    if (error != std::errc{} || end != line.data() + line.size()) return std::nullopt;
    if (count < 1 || count > most_bytes) return std::nullopt;
    return count;
}

/// Reads from a client once; returns false if it is to be closed. Throws std::system_error if it is gone.
bool read_some(client& from) {
    std::array<char, 1024> buffer;
    const auto received = check("recv", recv(from.connection.get(), buffer.data(), buffer.size(), 0));
    if (received == 0) return false;  // half a line is no line
    const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
    if (from.finishing) return (from.ignored += chunk.size()) < max_ignored;
    from.lines.append(chunk);
    try {
        const std::optional<std::string> line = from.lines.next();
        if (!line) return true;
        from.unsent = parse_request(*line).value_or(0);
        if (from.unsent == 0) from.refusal = "Bad Request\n";
    } catch (const line_too_long& error) {
        from.refusal = error.what() + std::string{"\n"};
    }
    from.unsent += from.refusal.size();
    return true;
}

/// Sends a client what it takes now, once. After the last byte it only finishes: to close a connection with
/// bytes unread is to send a reset, which may overtake the reply. Throws std::system_error if it is gone.
void send_some(client& to) {
    static const std::string block(65536, '*');  // the same again and again: no reply costs more memory
    std::string_view reply = to.refusal.empty() ? block : to.refusal;
    if (to.unsent < reply.size()) reply.remove_prefix(reply.size() - to.unsent);
    const auto sent = send(to.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1 && errno == EAGAIN) return;
    to.unsent -= static_cast<std::size_t>(check("send", sent));
    if (to.unsent > 0) return;
    to.finishing = true;
    check("shutdown", shutdown(to.connection.get(), SHUT_WR));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    const int limit = std::min(FD_SETSIZE, raise_descriptor_limit() - 1);  // the last one is for refusing

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    std::map<int, client> clients;  // by descriptor
    while (true) {
        fd_set readable;
        fd_set writable;
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        FD_SET(listener.get(), &readable);
        for (const auto& [fd, one] : clients) FD_SET(fd, one.unsent > 0 ? &writable : &readable);
        check("select", select(limit, &readable, &writable, nullptr, nullptr));

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            auto& [fd, one] = *current;
            bool stays = false;
            try {
                if (FD_ISSET(fd, &writable)) send_some(one);
                stays = !FD_ISSET(fd, &readable) || read_some(one);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << one.name << '\n';
            clients.erase(current);
        }

        if (!FD_ISSET(listener.get(), &readable)) continue;
        endpoint peer;
        unique_fd connection{accept(listener.get(), peer.get(), &peer.size)};
        const int fd = connection.get();
        if (fd == -1) rest_if_short_of_descriptors();
        if (fd == -1) continue;     // that client has gone again: man 2 accept, "Error handling"
        if (fd >= limit) continue;  // closed at once: see upper_server
        std::cout << "connected " << to_string(peer) << '\n';
        clients[fd] = {std::move(connection), to_string(peer)};
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
