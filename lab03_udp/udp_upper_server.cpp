// The upper service by datagrams: socket, bind, recvfrom, sendto. Nothing to accept, for nobody connects.
//
//   ./udp_upper_server                  in one terminal
//   ./udp_upper_client localhost        in two others; type lines
//
// Look at what a second client gets while the first is still there: its replies. One socket serves everybody,
// and the server remembers nobody. Then type a line of 1100 letters. Next: lossy_relay, which loses some.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>

#include "options.hpp"
#include "posix.hpp"

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns `c` in upper case if it is an ASCII letter; any other byte as it is, whatever the locale.
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Answers one datagram of `client`. Throws std::system_error if the answer cannot be sent.
void serve(const unique_fd& server, const endpoint& client, std::span<char> datagram) {
    for (char& c : datagram) c = to_upper(c);
    // BEGIN SOLUTION: send the answer, one datagram, to the client that asked.
    check("sendto", sendto(server.get(), datagram.data(), datagram.size(), 0, client.get(), client.size));
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    // No SO_REUSEADDR: for datagrams it would let a second server take the port from the first.
    const unique_fd server{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    check("bind", bind(server.get(), here.get(), here.size));
    check("getsockname", getsockname(server.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        std::array<char, 1024> buffer;
        endpoint client;
        // MSG_TRUNC: return the length that was sent, even if less of it fits; the rest is lost.
        const auto sent =
            static_cast<std::size_t>(check("recvfrom", recvfrom(server.get(), buffer.data(), buffer.size(),
                                                                MSG_TRUNC, client.get(), &client.size)));
        const std::span datagram{buffer.data(), std::min(sent, buffer.size())};
        // BEGIN SOLUTION: if the buffer was too small, say "truncated HOST:PORT: 1024 of N bytes".
        if (sent > datagram.size())
            std::cout << "truncated " << to_string(client) << ": " << datagram.size() << " of " << sent
                      << " bytes\n";
        // END SOLUTION
        // BEGIN SOLUTION: an empty datagram is a goodbye: say "goodbye HOST:PORT", and answer nothing.
        if (datagram.empty()) {
            std::cout << "goodbye " << to_string(client) << '\n';
            continue;
        }
        // END SOLUTION
        try {
            serve(server, client, datagram);
        } catch (const std::exception& error) {  // concerns this client, and nobody else
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
