// A client of the cas servers that sends any bytes, in one send: half a line, two lines, nonsense.
//
//   ./cas_client_raw localhost '0 7'              no newline: half a line
//   ./cas_client_raw localhost $'0 7\n7 8\n'      two lines in one piece
//
// Look at how many replies come from cas_server and how many from cas_server_lines, and why. Next:
// cas_client_split, one line in four pieces.
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

/// Returns a socket that is connected to `host`. Throws std::system_error if none of its addresses answers.
unique_fd connect_to(const std::string& host, int port) {
    for (const endpoint& there : resolve(host, port)) {
        unique_fd connection{socket(there.storage.ss_family, SOCK_STREAM, 0)};
        if (connection.get() == -1) continue;  // a kernel without IPv6, say, has 127.0.0.1 all the same
        if (connect(connection.get(), there.get(), there.size) == 0) return connection;
    }  // localhost, say, is [::1] and 127.0.0.1, and the server listens at one of them
    throw std::system_error{errno, std::generic_category(), "connect"};
}

/// Says that no more will be sent, and prints all that comes until the server hangs up.
void finish(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;
        std::cout.write(buffer.data(), received);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST TEXT", 2, 2};
    const unique_fd connection = connect_to(given.words[0], given.port(22222));
    const std::string& text = given.words[1];
    check("send", send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL));
    finish(connection);
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
