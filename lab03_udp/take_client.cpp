// The client of the ticket service: repeats a request until its reply comes. Round trips tell it how long to
// wait between two tries.
//
//   ./take_server                       in one terminal
//   ./take_client localhost             in another; type take 3, an empty line ends
//
// Look at the waits that it prints behind a lossy_relay: 100 ms or more before the first round trip, 10 ms or
// more after it. Then start the server again, and take one more: the client cannot find out whether a request
// to the earlier run was served.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <exception>
#include <iostream>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "messages.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "readable_before.hpp"
#include "round_trips.hpp"
#include "ticket_office.hpp"
#include "udp_sockets.hpp"

using std::chrono::steady_clock;

/// A server that gets one request after the other.
struct correspondent {
    unique_fd server;
    // How long ask repeats a request before it gives up.
    std::chrono::duration<double> patience;
    round_trips trips;
    std::mt19937 random{std::random_device{}()};
};

/// Returns the reply to `request`: the message whose numbers begin with `key`. Repeats the request until it
/// comes. Throws std::runtime_error if none comes in time, std::system_error if a call fails.
std::string ask(correspondent& there, std::string_view request, std::string_view key) {
    std::array<char, 1024> buffer;
    const auto begin = steady_clock::now();
    for (int tried = 1; steady_clock::now() < begin + there.patience; ++tried) {
        const auto start = steady_clock::now();
        const auto wait = with_jitter(there.trips.timeout(), there.random);
        const auto deadline = start + std::chrono::ceil<steady_clock::duration>(wait);
        // A refusal is no reply: the server may be about to start again.
        if (send(there.server.get(), request.data(), request.size(), 0) == -1 && errno != ECONNREFUSED)
            throw std::system_error{errno, std::generic_category(), "send"};
        while (readable_before(there.server, deadline)) {
            const auto received = recv(there.server.get(), buffer.data(), buffer.size(), 0);
            if (received == -1 && errno == ECONNREFUSED) continue;
            const std::string_view message{buffer.data(), static_cast<std::size_t>(check("recv", received))};
            // BEGIN SOLUTION: return the reply to this request; learn from its round trip if it was sent once.
            if (has_key(message, key)) {
                if (tried == 1) there.trips.measured(steady_clock::now() - start);
                return std::string{message};
            }
            // END SOLUTION
        }
        there.trips.timed_out();
        warnx("%s, try %d: no reply in %.0f ms", std::string{request}.c_str(), tried, wait.count());
    }
    throw std::runtime_error{"no reply in time"};
}

/// Returns N of a line "take N", or 0 if it is none with an N from 1 to ticket_office::most_tickets.
std::uint64_t count_in(std::string_view line) {
    const auto numbers = numbers_of(line, "take", 1);
    return numbers && numbers->at(0) <= ticket_office::most_tickets ? numbers->at(0) : 0;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pw", "[-p PORT] [-w SECONDS] HOST", 1, 1};
    correspondent there;
    there.server = connect_datagrams(given.words[0], given.port(4446));
    there.patience = std::chrono::duration<double>{given.number('w', 10.0, 0.001, 1e6)};

    // The nonce tells the reply to this hello from one to an earlier client with the same port.
    const std::string nonce = std::to_string(there.random());
    const auto welcome = numbers_of(ask(there, "hello " + nonce, nonce), "welcome", 3);
    if (!welcome) throw std::runtime_error{"the reply is not a welcome"};
    std::uint64_t request = 0;
    while (true) {
        std::cout << "Input: ";
        std::string line;
        std::getline(std::cin, line);
        // At the end of the input the line is empty, too.
        if (line.empty()) break;
        const std::uint64_t count = count_in(line);
        if (count == 0) {
            std::cout << "Output: Bad Request\n";
            continue;
        }
        const std::string key = std::to_string(welcome->at(1)) + ' ' + std::to_string(welcome->at(2)) + ' ' +
                                std::to_string(++request);
        const std::string reply = ask(there, "take " + key + ' ' + std::to_string(count), key);
        const auto tickets = numbers_of(reply, "tickets", 5);
        if (!tickets) throw std::runtime_error{reply + ": the request may have been served, or not"};
        std::cout << "Output: tickets " << tickets->at(3) << " to " << tickets->at(3) + count - 1 << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
