// The upper service by datagrams: socket, bind, recvfrom, sendto. There is no connection to accept.
//
//   ./udp_upper_server                  in one terminal
//   ./udp_upper_client localhost        in two others; type lines
//
// Look at what a second client gets while the first is still there: its replies. One socket serves all
// clients, and the server remembers none of them. Then type a line of 1100 letters. Next: lossy_relay, which
// loses datagrams.
#include <err.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <exception>
#include <iostream>
#include <span>

#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

/// Answers one datagram of `client`. Throws std::system_error if the reply cannot be sent.
void serve(const unique_fd& server, const endpoint& client, std::span<char> datagram) {
    to_upper(datagram);
    // BEGIN SOLUTION: send the reply, one datagram, to the client that asked.
    check("sendto", sendto(server.get(), datagram.data(), datagram.size(), 0, client.get(), client.size));
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();

    endpoint here = resolve(given.address(), given.port(4444)).front();
    const unique_fd server{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    // No SO_REUSEADDR: on a UDP socket it would let a second server take the port from the first.
    check("bind", bind(server.get(), here.get(), here.size));
    check("getsockname", getsockname(server.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    std::array<char, 1024> buffer;
    while (true) {
        endpoint client;
        // MSG_TRUNC: return the length of the datagram, even if it is longer than the buffer.
        const auto length = check("recvfrom", recvfrom(server.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                                       client.get(), &client.size));
        const auto sent = static_cast<std::size_t>(length);
        const std::span datagram{buffer.data(), std::min(sent, buffer.size())};
        // BEGIN SOLUTION: if the buffer was too small, log "truncated HOST:PORT: 1024 of N bytes".
        if (sent > datagram.size())
            std::cout << "truncated " << to_string(client) << ": " << datagram.size() << " of " << sent
                      << " bytes\n";
        // END SOLUTION
        // BEGIN SOLUTION: an empty datagram is a goodbye: log "goodbye HOST:PORT", and send no reply.
        if (datagram.empty()) {
            std::cout << "goodbye " << to_string(client) << '\n';
            continue;
        }
        // END SOLUTION
        try {
            serve(server, client, datagram);
        } catch (const std::exception& error) {
            // It concerns this client, and no other.
            warnx("%s", error.what());
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
