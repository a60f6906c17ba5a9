// Port 0: the kernel chooses. And how a client can connect to itself, without any server.
//
//   ./ephemeral_port
//
// Look at the two addresses of the last connection: they are the same. The kernel gives a client a port of
// the ephemeral range. If the port that the client calls is in that range, too, and no server listens there,
// then sooner or later the client gets this very port. Its SYN arrives at its own socket, and TCP makes a
// connection of it (a simultaneous open). So choose a server's port outside the range: 4444 and 22222 are
// outside, 50007 is not.
#include <err.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

unique_fd new_socket() {
    return unique_fd{check("socket", socket(AF_INET, SOCK_STREAM, 0))};
}

/// Binds to `address` and returns what the kernel made of it.
endpoint bound_to(const unique_fd& sock, const endpoint& address) {
    check("bind", bind(sock.get(), address.get(), address.size));
    endpoint found;
    check("getsockname", getsockname(sock.get(), found.get(), &found.size));
    return found;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    int lowest = 0;
    int highest = 0;
    std::ifstream{"/proc/sys/net/ipv4/ip_local_port_range"} >> lowest >> highest;
    std::cout << "ephemeral ports are " << lowest << " to " << highest << '\n';

    endpoint target;
    {
        const unique_fd sock = new_socket();
        target = bound_to(sock, resolve("127.0.0.1", 0).front());
        std::cout << "bound to port 0, and got " << to_string(target) << '\n';
    }
    // The kernel gives odd ports to bind and even ones to connect, while it has enough of both.
    in_port_t& port = reinterpret_cast<sockaddr_in&>(target.storage).sin_port;
    port = htons(static_cast<in_port_t>(ntohs(port) & ~1));
    std::cout << "a client asks for a server at " << to_string(target)
              << ", where none is, again and again\n";

    constexpr int enough = 1'000'000;
    for (int tries = 1; tries <= enough; ++tries) {
        const unique_fd client = new_socket();
        if (connect(client.get(), target.get(), target.size) == -1) continue;  // refused
        endpoint own;
        check("getsockname", getsockname(client.get(), own.get(), &own.size));
        std::cout << "connected at try " << tries << ": " << to_string(own) << " to " << to_string(target)
                  << '\n';
        check("send", send(client.get(), "hello", 5, MSG_NOSIGNAL));
        std::array<char, 5> reply;
        check("recv", recv(client.get(), reply.data(), reply.size(), MSG_WAITALL));
        std::cout << "sent hello, received " << std::string{reply.data(), reply.size()} << '\n';
        return 0;
    }
    std::cout << "refused " << enough << " times\n";
    return 1;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
