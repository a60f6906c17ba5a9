// N bytes for a line with the number N, by a thread per client.
//
//   ./bytes_server                      in one terminal
//   echo 10 | nc localhost 2000         in another: ten stars
//
// Look at the diff to lab04's: no child to collect, no copy of the descriptor to close, no exit that must not
// be forgotten. A thread is cheaper to start than a process (spawn_cost measures it), and not free:
// bytes_server_prethreaded starts them beforehand.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "line_buffer.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

constexpr std::size_t most_bytes = std::size_t{1} << 30;

std::atomic_flag stopping;

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    // _exit ends all threads at once; exit would destroy std::cout while they still use it.
    if (stopping.test_and_set()) pause();  // another thread is here: sa_mask holds back signals for one only
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

/// Answers one request line. Throws std::system_error if the client is gone.
void reply(const unique_fd& connection, std::string_view line) {
    const std::optional<std::size_t> count = parse_request(line);
    if (!count) return send_all(connection, std::string_view{"Bad Request\n"});
    std::array<char, 65536> stars;  // the same block again and again: no client costs more memory than this
    stars.fill('*');
    for (std::size_t left = *count; left > 0;) {
        const std::size_t size = std::min(left, stars.size());
        send_all(connection, std::span{stars}.first(size));
        left -= size;
    }
}

/// Says that no more will be sent, and reads what the client sends until it closes, within bounds: closing
/// a socket with unread bytes would throw away what the client has not received yet.
void finish(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second));
    std::array<char, 65536> rest;  // until its end of file, but not for ever
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (recv(connection.get(), rest.data(), rest.size(), 0) > 0)
        if (std::chrono::steady_clock::now() > deadline) return;
}

/// Serves one client: a line, its reply, the end. Throws std::system_error if the client is gone.
void serve(const unique_fd& connection) {
    std::array<char, 1024> buffer;
    line_buffer lines;
    std::optional<std::string> line;
    try {
        while (!(line = lines.next())) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            if (received == 0) return;  // half a line is no line
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
        }
        reply(connection, *line);
    } catch (const line_too_long& error) {
        send_all(connection, error.what() + std::string{"\n"});
    }
    finish(connection);
}

/// A client's thread, which owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client) {
    try {
        serve(connection);
    } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
    }
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';  // a line in one piece
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1 && errno != ECONNABORTED) {
            warn("accept");
            sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
        }
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        try {
            std::thread{serve_client, std::move(connection), client}.detach();  // nobody waits for its end
        } catch (const std::system_error& error) {  // no thread to be had: this client is turned away
            std::osyncstream{std::cerr} << program_invocation_short_name << ": thread: " << error.what()
                                        << '\n';
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
