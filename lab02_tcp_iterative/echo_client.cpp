// The client of the echo servers: sends each word, waits for its reply, prints it.
//
//   ./echo_server                       in one terminal
//   ./echo_client localhost Say no more in another
//
// Look at ask: a reply is longer than what was sent, and its end is known by the date in it. echo_many starts
// many of these at once.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <regex>
#include <stdexcept>
#include <string>
#include <string_view>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Tells whether the text ends as a reply does, " at Sun Jun 18 19:37:54 2000".
bool ends_in_date(const std::string& text) {
    static const std::regex date{
        " at [A-Z][a-z]{2} [A-Z][a-z]{2} [ 1-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} [0-9]{4}"};
    constexpr std::size_t length = 28;
    return text.size() >= length && std::regex_match(text.substr(text.size() - length), date);
}

/// Returns the whole reply to `word`. Throws std::runtime_error if the server closes the connection before.
std::string ask(const unique_fd& connection, std::string_view word) {
    std::string reply;
    std::array<char, 1024> buffer;
    while (!word.empty()) {
        // The server answers each chunk of at most 1024 bytes on its own.
        const std::string_view piece = word.substr(0, buffer.size());
        const auto sent = check("send", send(connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL));
        word.remove_prefix(static_cast<std::size_t>(sent));
        std::string answer;
        while (!ends_in_date(answer)) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            if (received == 0) throw std::runtime_error{"recv: the server has hung up"};
            answer.append(buffer.data(), static_cast<std::size_t>(received));
        }
        reply += answer;
    }
    return reply;
}

int main(int argc, char* argv[]) try {
    options given{argc, argv, "p", "[-p PORT] [HOST [WORD...]]", 0, SIZE_MAX};
    if (given.words.empty()) given.words = {"localhost"};
    if (given.words.size() == 1) given.words.insert(given.words.end(), {"Hello network world"});
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each line at once, also into a pipe

    const unique_fd connection = connect_to(given.words[0], given.port(50007));
    for (std::size_t i = 1; i < given.words.size(); ++i)
        std::cout << "Client received: '" << ask(connection, given.words[i]) << "'\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
