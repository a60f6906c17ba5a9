// The first client: socket, connect, send, recv, close.
//
//   ./upper_server                      in one terminal
//   ./upper_client localhost            in another; type lines, an empty one ends
//
// Look at ask: a reply may come in pieces of any size, and recv returns what is there. The client knows how
// many bytes to wait for, because this service answers each byte with one byte. framing_demo shows other
// ways.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <exception>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>

#include "options.hpp"
#include "posix.hpp"

/// Returns a socket that is connected to `host`. Throws std::system_error if none of its addresses answers.
unique_fd connect_to(const std::string& host, int port) {
    // BEGIN SOLUTION: try each address of the host, until one answers.
    // localhost may be [::1] and 127.0.0.1, the kernel may have no IPv6, and the server listens at one of
    // them.
    for (const endpoint& there : resolve(host, port)) {
        unique_fd connection{socket(there.storage.ss_family, SOCK_STREAM, 0)};
        if (connection.get() == -1) continue;
        if (connect(connection.get(), there.get(), there.size) == 0) return connection;
    }
    // END SOLUTION
    throw std::system_error{errno, std::generic_category(), "connect"};
}

/// Returns the whole reply to `line`. Throws std::runtime_error if the server closes before.
std::string ask(const unique_fd& connection, std::string_view line) {
    std::string reply;
    // BEGIN SOLUTION: send the line piece by piece, and ask for the reply to each until it is all there.
    std::size_t sent = 0;
    std::array<char, 1024> buffer;
    while (reply.size() < line.size()) {
        // Send the next piece after the reply to the last one. If both sides only sent, both would wait for
        // ever as soon as the buffers between them are full.
        if (reply.size() == sent) {
            const std::string_view piece = line.substr(sent, buffer.size());
            sent += static_cast<std::size_t>(
                check("send", send(connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL)));
        }
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) throw std::runtime_error{"recv: the server has closed the connection"};
        reply.append(buffer.data(), static_cast<std::size_t>(received));
    }
    // END SOLUTION
    return reply;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST", 1, 1};
    const unique_fd connection = connect_to(given.words[0], given.port(4444));
    while (true) {
        std::cout << "Input: ";
        std::string line;
        std::getline(std::cin, line);
        // At the end of the input the line is empty, too.
        if (line.empty()) break;
        std::cout << "Output: " << ask(connection, line) << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
