// The client of the cas servers: one line OLD NEW, in one send.
//
//   ./cas_server_lines                  in one terminal
//   ./cas_client localhost 0 7          in another: 0, the value before; now it is 7
//   ./cas_client localhost 0 8          7: the register was not 0, and stays
//
// Look at finish: the client says that it will send no more (shutdown) and then reads until the server hangs
// up, so it need not know how long the reply is. Next: cas_client_raw and cas_client_split, which find what
// is wrong with cas_server.
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
    const options given{argc, argv, "p", "[-p PORT] HOST OLD NEW", 3, 3};
    const unique_fd connection = connect_to(given.words[0], given.port(22222));
    const std::string line = given.words[1] + ' ' + given.words[2] + '\n';
    check("send", send(connection.get(), line.data(), line.size(), MSG_NOSIGNAL));
    finish(connection);
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
