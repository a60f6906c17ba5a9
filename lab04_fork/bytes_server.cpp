// The bytes service: a client sends a line with a number N, and gets N stars. Labs 4 to 7 serve it in
// different ways, so that you can compare these. Here each client gets a child.
//
//   ./bytes_server                      in one terminal
//   echo 10 | nc localhost 2000         in another: ten stars
//
// Look at what one client costs besides its bytes: a fork, an exit, a child to reap. lab05's bytes_server has
// one process for all clients, lab06's has a thread per client, lab07's forks before the clients come.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <exception>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "line_buffer.hpp"
#include "lingering_close.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"

constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// Returns the number that `line` asks for, or nothing if it is not a decimal number from 1 to most_bytes.
std::optional<std::size_t> parse_request(std::string_view line) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    if (error != std::errc{} || end != line.data() + line.size()) return std::nullopt;
    if (count < 1 || count > most_bytes) return std::nullopt;
    return count;
}

/// Sends `count` stars. Throws std::system_error if the connection breaks.
void send_stars(const unique_fd& connection, std::size_t count) {
    // One block is sent again and again: no client costs more memory than this.
    std::array<char, 65536> stars;
    stars.fill('*');
    while (count > 0) {
        const std::size_t size = std::min(count, stars.size());
        send_all(connection, std::span{stars}.first(size));
        count -= size;
    }
}

/// Serves one client: a line, its reply, the end. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection) {
    line_buffer lines;
    std::array<char, 1024> buffer;
    try {
        auto line = lines.next();
        while (!line) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            // 0 is the client's end of file. Half a line is no line.
            if (received == 0) return;
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
            line = lines.next();
        }
        if (const auto count = parse_request(*line))
            send_stars(connection, *count);
        else
            send_all(connection, std::string_view{"Bad Request\n"});
    } catch (const line_too_long& error) {
        send_all(connection, error.what() + std::string{"\n"});
    }
    linger_before_close(connection);
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    struct sigaction forget = {};
    forget.sa_handler = SIG_IGN;
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(2000));

    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t parent = getpid();
        const pid_t child = fork();
        if (child == 0) {
            end_with_parent(parent);
            listener.reset();
            try {
                serve(connection);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            _exit(0);
        }
        if (child == -1) {
            // No process is left for this client: it is turned away.
            warn("fork");
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
