// The ticket service: each number is handed out exactly once, though datagrams are lost and repeated.
//
//   ./take_server                                                              in one terminal
//   ./lossy_relay -p 4445 --drop 30 --repeat 20 --reorder 20 localhost 4446    in a second
//   ./take_client -p 4445 localhost                                            in a third; type take 3
//
// Look at a repeated request in the log: it gets the reply that it got before, and no new tickets.
// ticket_office.hpp remembers the replies; messages.hpp has the messages. Next: take_client.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <random>
#include <string_view>

#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "ticket_office.hpp"
#include "udp_sockets.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CLIENTS]"};
    // Requests to an earlier run of the server have another epoch.
    const unsigned epoch = std::random_device{}();
    ticket_office office{epoch, static_cast<std::size_t>(given.number('n', 1000, 1, 1'000'000))};
    start_log();
    exit_on_stop_signals();
    const unique_fd server = receive_at(given.address(), given.port(4446));

    std::array<char, 1024> buffer;
    while (true) {
        endpoint client;
        const auto length = check("recvfrom", recvfrom(server.get(), buffer.data(), buffer.size(), MSG_TRUNC,
                                                       client.get(), &client.size));
        const auto sent = static_cast<std::size_t>(length);
        // A longer datagram is no message, although its beginning may look like one.
        const std::string_view message{buffer.data(), sent <= buffer.size() ? sent : 0};
        // BEGIN SOLUTION: log "HOST:PORT: MESSAGE: REPLY" and send the reply, or log "ignored HOST:PORT".
        const auto reply = office.reply_to(message);
        if (!reply) {
            std::cout << "ignored " << to_string(client) << '\n';
            continue;
        }
        // Only well-formed messages have a reply: no control character gets into the log.
        std::cout << to_string(client) << ": " << message << ": " << *reply << '\n';
        // A reply that cannot be sent concerns this client, and no other.
        if (sendto(server.get(), reply->data(), reply->size(), 0, client.get(), client.size) == -1)
            warn("sendto");
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
