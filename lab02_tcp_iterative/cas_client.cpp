// The client of the cas servers: one line OLD NEW, in one send.
//
//   ./cas_server_lines                  in one terminal
//   ./cas_client localhost 0 7          in another: 0, the value before; now it is 7
//   ./cas_client localhost 0 8          7: the register was not 0, and stays
//
// Look at print_replies: the client says that it will send no more (shutdown), and then reads until the
// server closes, so it need not know how long the reply is. Next: cas_client_raw and cas_client_split, which
// find what is wrong with cas_server.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Says that no more will be sent (shutdown(2)), and prints what comes until the server closes. Throws
/// std::system_error.
void print_replies(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;
        std::cout.write(buffer.data(), received);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST OLD NEW", 3, 3};
    const unique_fd connection = connect_to(given.words[0], given.port(22222));
    const std::string line = given.words[1] + ' ' + given.words[2] + '\n';
    check("send", send(connection.get(), line.data(), line.size(), MSG_NOSIGNAL));
    print_replies(connection);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
