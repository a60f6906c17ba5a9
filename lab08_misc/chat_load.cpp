// How long does a line take to all others? `-c` clients join a chat; one of them says `-t` lines, the next
// when all others have the last one.
//
//   ./chat_server                       in one terminal
//   ./chat_load -c 100 localhost        in another; then the same with chat_server_threads
//
// Look at p99 beside p50, and at how both grow with the number of clients.
#include <err.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <iomanip>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "connect_to.hpp"
#include "descriptor_limit.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

struct participant {
    unique_fd connection;
    std::string unread{};
};

/// Reads until `line` has come; what came before it is forgotten. Throws if the server closes, or says
/// nothing for ten seconds.
void read_until(participant& one, const std::string& line) {
    std::array<char, 65536> buffer;
    std::size_t found = 0;
    while ((found = one.unread.find(line)) == one.unread.npos) {
        const auto received = check("recv", recv(one.connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) throw std::runtime_error{"the server has closed a connection"};
        one.unread.append(buffer.data(), static_cast<std::size_t>(received));
    }
    one.unread.erase(0, found + line.size());
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pct", "[-p PORT] [-c CLIENTS] [-t TIMES] HOST", 1, 1};
    const int count = given.number('c', 100, 2, 100'000);
    const int times = given.number('t', 200, 1, 1'000'000);
    raise_descriptor_limit();

    std::vector<participant> all;
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    for (int k = 0; k < count; ++k) {
        participant& one = all.emplace_back(participant{connect_to(given.words[0], given.port(4000))});
        check("setsockopt",
              setsockopt(one.connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
        send_all(one.connection, "load" + std::to_string(k) + "\n");
        read_until(one, "* Hello load" + std::to_string(k) + "\n");
    }

    using milliseconds = std::chrono::duration<double, std::milli>;
    std::vector<double> took;
    const auto begin = std::chrono::steady_clock::now();
    for (int i = 0; i < times; ++i) {
        const std::string line = "line " + std::to_string(i) + "\n";
        const auto said = std::chrono::steady_clock::now();
        send_all(all[0].connection, line);
        for (participant& one : std::span{all}.subspan(1)) read_until(one, "load0: " + line);
        took.push_back(milliseconds{std::chrono::steady_clock::now() - said}.count());
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;

    std::ranges::sort(took);
    const auto at = [&took](std::size_t percent) { return took[(took.size() - 1) * percent / 100]; };
    std::cout << std::fixed << std::setprecision(0) << times << " lines to " << count - 1
              << " clients: " << times * (count - 1) / seconds.count() << " deliveries a second\n"
              << std::setprecision(3) << "all had a line after p50 " << at(50) << " ms, p99 " << at(99)
              << " ms, max " << took.back() << " ms\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
