// Stands between a datagram client and its server, and does on demand what a bad network does.
//
//   ./udp_upper_server
//   ./lossy_relay -p 4445 --drop 30 --repeat 20 --reorder 20 localhost 4444     by chance; -s for other luck
//   ./lossy_relay -p 4445 --script x.=/1 localhost 4444                         by script: REQUESTS/REPLIES
//   ./udp_upper_client -p 4445 localhost                                        one client at a time
//
// The script loses the first request, passes the second on, sends the third twice, and swaps the first two
// replies; direction.hpp has its signs. Compare what it prints with what the client prints: which reply does
// not belong to its line? Next: udp_upper_client_retry, which finds out.
#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <charconv>
#include <exception>
#include <iostream>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "direction.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "udp_sockets.hpp"

/// Receives a request, stores its sender in `client`, and sends the server the requests that are due. Throws
/// std::system_error.
void relay_request(const unique_fd& listener, const unique_fd& server, direction& requests,
                   endpoint& client) {
    // No datagram is longer.
    std::array<char, 65536> buffer;
    client = {};
    const auto received = check(
        "recvfrom", recvfrom(listener.get(), buffer.data(), buffer.size(), 0, client.get(), &client.size));
    for (const std::string& datagram :
         requests.pass({buffer.data(), static_cast<std::size_t>(received)}, std::cout))
        check("send", send(server.get(), datagram.data(), datagram.size(), 0));
}

/// Receives a reply, and sends `client`, the last that asked, the replies that are due. Throws
/// std::system_error.
void relay_reply(const unique_fd& server, const unique_fd& listener, direction& replies,
                 const endpoint& client) {
    std::array<char, 65536> buffer;
    const auto received = check("recv", recv(server.get(), buffer.data(), buffer.size(), 0));
    for (const std::string& datagram :
         replies.pass({buffer.data(), static_cast<std::size_t>(received)}, std::cout))
        check("sendto",
              sendto(listener.get(), datagram.data(), datagram.size(), 0, client.get(), client.size));
}

/// Returns the command line. --drop and the like become single letters first: options.hpp knows no others.
options parse(std::span<char*> arguments) {
    static std::map<std::string_view, std::string> letters{
        {"--drop", "-D"}, {"--repeat", "-R"}, {"--reorder", "-O"}, {"--script", "-S"}};
    for (char*& argument : arguments)
        if (const auto found = letters.find(argument); found != letters.end())
            argument = found->second.data();
    const char* synopsis =
        "[-p PORT] [-a ADDRESS] [-s SEED] [--drop P] [--repeat P] [--reorder P] [--script REQUESTS/REPLIES] "
        "HOST PORT\n"
        "P: per cent. A script has one sign per datagram: . passed on, x lost, = twice, 1 to 9 late by that "
        "many";
    return {static_cast<int>(arguments.size()), arguments.data(), "pasDROS", synopsis, 2, 2};
}

/// Returns the plans of both directions. Ends the program if they are wrong usage.
std::pair<direction, direction> plans(const options& given) try {
    const percentages chances{given.number('D', 0, 0, 100), given.number('R', 0, 0, 100),
                              given.number('O', 0, 0, 100)};
    if (chances.drop + chances.repeat + chances.reorder > 100) given.wrong("more than 100 per cent");
    const unsigned seed = given.number('s', 1U, 0U, 0xffff'ffffU);
    const std::string script = given.text('S', "/");
    const std::size_t slash = script.find('/');
    if (slash == script.npos) given.wrong("a script is REQUESTS/REPLIES");
    return {direction{"request", script.substr(0, slash), chances, seed},
            direction{"reply", script.substr(slash + 1), chances, ~seed}};
} catch (const std::invalid_argument& error) {
    given.wrong(error.what());
}

/// Returns `word` as a port. Ends the program if it is none.
int port_of(const options& given, const std::string& word) {
    int port = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (error != std::errc{} || end != word.data() + word.size() || port < 1 || port > 65535)
        given.wrong("'" + word + "': not a port");
    return port;
}

int main(int argc, char* argv[]) try {
    const options given = parse({argv, static_cast<std::size_t>(argc)});
    auto [requests, replies] = plans(given);
    start_log();
    exit_on_stop_signals();
    const unique_fd server = connect_datagrams(given.words[0], port_of(given, given.words[1]));
    const unique_fd listener = receive_at(given.address(), given.port(4445));

    endpoint client;
    std::array<pollfd, 2> ready{{{listener.get(), POLLIN, 0}, {server.get(), POLLIN, 0}}};
    while (true) {
        check("poll", poll(ready.data(), ready.size(), -1));
        try {
            if (ready[0].revents != 0) relay_request(listener, server, requests, client);
            if (ready[1].revents != 0) relay_reply(server, listener, replies, client);
        } catch (const std::exception& error) {
            // A refused port, for example: the server may be started later.
            warnx("%s", error.what());
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
