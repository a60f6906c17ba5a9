// The datagram client that gets its replies even if datagrams are lost, repeated or late.
//
//   ./udp_upper_server                                                         in one terminal
//   ./lossy_relay -p 4445 --drop 30 --repeat 20 --reorder 20 localhost 4444    in a second
//   ./udp_upper_client_retry -p 4445 localhost                                 in a third; type lines
//
// Look at how often it asks, and that each reply belongs to the line above it. A request whose reply was lost
// is served twice, which does no harm to the upper service. Next: take_server, which serves each request
// exactly once.
#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "numbered.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "udp_sockets.hpp"

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Waits for a datagram until `deadline`; returns whether there is one. Throws std::system_error.
bool readable_before(const unique_fd& server, steady_clock::time_point deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd wanted{server.get(), POLLIN, 0};
    return check("poll", poll(&wanted, 1, static_cast<int>(left.count()))) > 0;
}

/// Returns the reply to `line`; asks again until it comes. Throws std::runtime_error after 40 tries,
/// std::system_error if a call fails.
std::string ask(const unique_fd& server, std::uint64_t number, std::string_view line) {
    constexpr int tries = 40;
    const std::string request = numbered(number, line);
    // No datagram is longer.
    std::array<char, 65536> buffer;
    for (int tried = 1; tried <= tries; ++tried) {
        check("send", send(server.get(), request.data(), request.size(), 0));
        const auto deadline = steady_clock::now() + wait_after(tried);
        // BEGIN SOLUTION: until the deadline, receive; return the reply to this request, ignore all others.
        while (readable_before(server, deadline)) {
            const auto received = check("recv", recv(server.get(), buffer.data(), buffer.size(), 0));
            const std::string_view datagram{buffer.data(), static_cast<std::size_t>(received)};
            if (const auto reply = reply_to(number, datagram)) return *reply;
        }
        // END SOLUTION
        warnx("request %ju, try %d: no reply in %jd ms", std::uintmax_t{number}, tried,
              std::intmax_t{wait_after(tried).count()});
    }
    throw std::runtime_error{"no reply to " + std::to_string(tries) + " tries"};
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST", 1, 1};
    const unique_fd server = connect_datagrams(given.words[0], given.port(4444));
    for (std::uint64_t number = 1;; ++number) {
        std::cout << "Input: ";
        std::string line;
        std::getline(std::cin, line);
        // At the end of the input the line is empty, too. No goodbye: it could be lost.
        if (line.empty()) break;
        std::cout << "Output: " + ask(server, number, line) + '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
