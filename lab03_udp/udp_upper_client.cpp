// The datagram client: socket, connect, send, recv, and a limit to the wait, for nobody promises a reply.
//
//   ./udp_upper_server                  in one terminal
//   ./udp_upper_client localhost        in another; type lines, an empty one ends
//
// Look at three silences: no server at all (the kernel says so), a server stopped with ^Z (nobody does), and
// a lossy_relay in between (a lost reply and a lost request look the same). Next: udp_upper_client_retry.
#include <errno.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cmath>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>

#include "choose_address.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Returns a datagram socket for talking to `host` alone.
unique_fd connect_to(const std::string& host, int port) {
    const endpoint there = choose_address(host, port);
    unique_fd server{check("socket", socket(there.storage.ss_family, SOCK_DGRAM, 0))};
    // Sends nothing. But from now on recv takes that server's datagrams alone, and a refusal is an error.
    check("connect", connect(server.get(), there.get(), there.size));
    return server;
}

/// Lets no recv on the socket wait for longer than `seconds`.
void limit_waiting(const unique_fd& server, double seconds) {
    timeval limit{};
    limit.tv_sec = static_cast<time_t>(seconds);
    limit.tv_usec = static_cast<suseconds_t>(1e6 * std::fmod(seconds, 1.0));
    // BEGIN SOLUTION: let recv on this socket fail with EAGAIN after the limit; man 7 socket.
    check("setsockopt", setsockopt(server.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    // END SOLUTION
}

/// Returns the reply to `line`: the next datagram, whichever it is. Throws if none comes in time.
std::string ask(const unique_fd& server, std::string_view line) {
    check("send", send(server.get(), line.data(), line.size(), 0));
    std::array<char, 65536> buffer;  // no datagram is longer
    const auto received = recv(server.get(), buffer.data(), buffer.size(), 0);
    if (received == -1 && errno == EAGAIN) throw std::runtime_error{"recv: no reply in time"};
    check("recv", received);
    return {buffer.data(), static_cast<std::size_t>(received)};
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pw", "[-p PORT] [-w SECONDS] HOST", 1, 1};
    const unique_fd server = connect_to(given.words[0], given.port(4444));
    limit_waiting(server, given.number('w', 2.0, 0.001, 1e6));
    std::string line;
    while (std::cout << "Input: ", std::getline(std::cin, line) && !line.empty())
        std::cout << "Output: " + ask(server, line) + '\n';
    // BEGIN SOLUTION: tell the server that this client is gone, by an empty datagram.
    check("send", send(server.get(), nullptr, 0, 0));
    // END SOLUTION
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
