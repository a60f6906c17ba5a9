// The datagram client that gets its answers even if datagrams are lost, repeated or overtaken.
//
//   ./udp_upper_server                                                         in one terminal
//   ./lossy_relay -p 4445 --drop 30 --repeat 20 --reorder 20 localhost 4444    in a second
//   ./udp_upper_client_retry -p 4445 localhost                                 in a third; type lines
//
// Look at how often it asks, and that no answer ever belongs to another of its lines. (To a line of the
// client before it, it may: each begins with number 1.) It cannot make the server do a thing exactly once: a
// request whose reply was lost is served twice. For upper case, who cares?
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

#include "choose_address.hpp"
#include "numbered.hpp"
#include "options.hpp"
#include "posix.hpp"

using std::chrono::milliseconds;
using std::chrono::steady_clock;

/// Returns a datagram socket for talking to `host` alone.
unique_fd connect_to(const std::string& host, int port) {
    const endpoint there = choose_address(host, port);
    unique_fd server{check("socket", socket(there.storage.ss_family, SOCK_DGRAM, 0))};
    check("connect", connect(server.get(), there.get(), there.size));
    return server;
}

/// Waits for a datagram until `deadline`; returns whether there is one.
bool readable_before(const unique_fd& server, steady_clock::time_point deadline) {
    const auto left = std::chrono::ceil<milliseconds>(deadline - steady_clock::now());
    pollfd wanted{server.get(), POLLIN, 0};
    return left.count() > 0 && check("poll", poll(&wanted, 1, static_cast<int>(left.count()))) > 0;
}

/// Returns the reply to `line`, asked for as often as need be. Throws std::runtime_error if none ever comes.
std::string ask(const unique_fd& server, std::uint64_t number, std::string_view line) {
    constexpr int tries = 40;
    const std::string request = numbered(number, line);
    std::array<char, 65536> buffer;  // no datagram is longer
    for (int tried = 1; tried <= tries; ++tried) {
        check("send", send(server.get(), request.data(), request.size(), 0));
        const auto deadline = steady_clock::now() + wait_after(tried);
        // BEGIN SOLUTION: until the deadline, receive; return the reply to this very request.
        while (readable_before(server, deadline)) {
            const auto received = check("recv", recv(server.get(), buffer.data(), buffer.size(), 0));
            const std::string_view datagram{buffer.data(), static_cast<std::size_t>(received)};
            if (const auto reply = reply_to(number, datagram)) return *reply;
        }
        // END SOLUTION
        std::cerr << program_invocation_short_name << ": request " << number << ", try " << tried
                  << ": no reply in " << wait_after(tried).count() << " ms\n";
    }
    throw std::runtime_error{"no reply to " + std::to_string(tries) + " tries"};
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST", 1, 1};
    const unique_fd server = connect_to(given.words[0], given.port(4444));
    std::uint64_t number = 0;
    std::string line;
    while (std::cout << "Input: ", std::getline(std::cin, line) && !line.empty())
        std::cout << "Output: " + ask(server, ++number, line) + '\n';
    // No goodbye: it could be lost like any other datagram, and nobody answers it.
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
