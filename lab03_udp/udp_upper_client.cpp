// The datagram client: socket, connect, send, recv, and a limit to the wait, since a reply may never come.
//
//   ./udp_upper_server                  in one terminal
//   ./udp_upper_client localhost        in another; type lines, an empty one ends
//
// Look at three reasons for no reply: no server at all (the kernel reports it), a server stopped with ^Z
// (nothing reports it), and a lossy_relay in between (a lost reply and a lost request look the same). Next:
// udp_upper_client_retry.
#include <err.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cmath>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "choose_address.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Limits each recv on the socket to `seconds`. Throws std::system_error.
void limit_waiting(const unique_fd& server, double seconds) {
    timeval limit{};
    limit.tv_sec = static_cast<time_t>(seconds);
    limit.tv_usec = static_cast<suseconds_t>(1e6 * std::fmod(seconds, 1.0));
    // BEGIN SOLUTION: let recv on this socket fail with EAGAIN after the limit; man 7 socket.
    check("setsockopt", setsockopt(server.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    // END SOLUTION
}

/// Returns the reply to `line`: the next datagram, whichever it is. Throws std::runtime_error if none comes
/// in time, std::system_error if a call fails.
std::string ask(const unique_fd& server, std::string_view line) {
    check("send", send(server.get(), line.data(), line.size(), 0));
    // No datagram is longer.
    std::array<char, 65536> buffer;
    const auto received = recv(server.get(), buffer.data(), buffer.size(), 0);
    if (received == -1 && errno == EAGAIN) throw std::runtime_error{"recv: no reply in time"};
    check("recv", received);
    return {buffer.data(), static_cast<std::size_t>(received)};
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pw", "[-p PORT] [-w SECONDS] HOST", 1, 1};
    const endpoint there = choose_address(given.words[0], given.port(4444));
    const unique_fd server{check("socket", socket(there.storage.ss_family, SOCK_DGRAM, 0))};
    // It sends nothing. But from now on recv takes datagrams of that server alone, and a refusal is an error.
    check("connect", connect(server.get(), there.get(), there.size));
    limit_waiting(server, given.number('w', 2.0, 0.001, 1e6));

    while (true) {
        std::cout << "Input: ";
        std::string line;
        std::getline(std::cin, line);
        // At the end of the input the line is empty, too.
        if (line.empty()) break;
        std::cout << "Output: " + ask(server, line) + '\n';
    }
    // BEGIN SOLUTION: tell the server that this client leaves, by an empty datagram.
    check("send", send(server.get(), nullptr, 0, 0));
    // END SOLUTION
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
