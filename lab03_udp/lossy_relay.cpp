// Stands between a datagram client and its server, and does what a bad network does, when you say so.
//
//   ./udp_upper_server
//   ./lossy_relay -p 4445 --drop 30 --repeat 20 --reorder 20 localhost 4444     by chance; -s for other luck
//   ./lossy_relay -p 4445 --script x.=/1 localhost 4444                         by script: REQUESTS/REPLIES
//   ./udp_upper_client -p 4445 localhost                                        one client at a time
//
// The script loses the first request, passes the second on, sends the third twice, and swaps the first two
// replies; direction.hpp has its signs. Look at what it prints beside what the client prints: when is an
// answer not the answer to the question? Next: udp_upper_client_retry, which can tell.
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "choose_address.hpp"
#include "direction.hpp"
#include "options.hpp"
#include "posix.hpp"

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Takes a request, and sends the server what is to be sent now. `client` becomes who asked.
void relay_request(const unique_fd& listener, const unique_fd& server, direction& requests,
                   endpoint& client) {
    std::array<char, 65536> buffer;  // no datagram is longer
    client = {};
    const auto received = check(
        "recvfrom", recvfrom(listener.get(), buffer.data(), buffer.size(), 0, client.get(), &client.size));
    for (const std::string& datagram :
         requests.pass({buffer.data(), static_cast<std::size_t>(received)}, std::cout))
        check("send", send(server.get(), datagram.data(), datagram.size(), 0));
}

/// Takes a reply, and sends the client, who asked last, what is to be sent now.
void relay_reply(const unique_fd& server, const unique_fd& listener, direction& replies,
                 const endpoint& client) {
    std::array<char, 65536> buffer;
    const auto received = check("recv", recv(server.get(), buffer.data(), buffer.size(), 0));
    for (const std::string& datagram :
         replies.pass({buffer.data(), static_cast<std::size_t>(received)}, std::cout))
        check("sendto",
              sendto(listener.get(), datagram.data(), datagram.size(), 0, client.get(), client.size));
}

/// Returns the command line; --drop and so on become single letters, which is what options.hpp knows.
options parse(std::span<char*> arguments) {
    static std::map<std::string_view, std::string> letters{
        {"--drop", "-D"}, {"--repeat", "-R"}, {"--reorder", "-O"}, {"--script", "-S"}};
    for (char*& argument : arguments)
        if (const auto found = letters.find(argument); found != letters.end())
            argument = found->second.data();
    const char* synopsis =
        "[-p PORT] [-a ADDRESS] [-s SEED] [--drop P] [--repeat P] [--reorder P] [--script REQUESTS/REPLIES] "
        "HOST PORT\n"
        "P: per cent. A script has a sign a datagram: . passed on, x lost, = twice, 1 to 9 late by so many";
    return {static_cast<int>(arguments.size()), arguments.data(), "pasDROS", synopsis, 2, 2};
}

/// Returns the plans of both directions. Wrong ones are wrong usage.
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

/// Returns the port that `word` is.
int port_of(const options& given, const std::string& word) {
    int port = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), port);
    if (error != std::errc{} || end != word.data() + word.size() || port < 1 || port > 65535)
        given.wrong("'" + word + "' is no port");
    return port;
}

int main(int argc, char* argv[]) try {
    const options given = parse({argv, static_cast<std::size_t>(argc)});
    auto [requests, replies] = plans(given);
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4445)).front();
    const endpoint there = choose_address(given.words[0], port_of(given, given.words[1]));
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd server{check("socket", socket(there.storage.ss_family, SOCK_DGRAM, 0))};
    check("connect", connect(server.get(), there.get(), there.size));
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    check("bind", bind(listener.get(), here.get(), here.size));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    endpoint client;
    std::array<pollfd, 2> ready{{{listener.get(), POLLIN, 0}, {server.get(), POLLIN, 0}}};
    while (true) {
        check("poll", poll(ready.data(), ready.size(), -1));
        try {
            if (ready[0].revents != 0) relay_request(listener, server, requests, client);
            if (ready[1].revents != 0) relay_reply(server, listener, replies, client);
        } catch (const std::exception& error) {  // nobody at the server's port, say: there may be later
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
