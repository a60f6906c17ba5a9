// One datagram for everybody: refused until the sender's socket asks for it, then heard by all listeners.
//
//   ./broadcast                         three listeners; -n 5 for five
//
// Look at who refuses: the sender's own kernel, until SO_BROADCAST says that it is meant. The address is that
// of the loopback network, so nothing leaves this machine. Next: raw_ping, which has no ports at all.
#include <errno.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

/// Returns a socket that hears what is sent to `here`; its port becomes the one it has, if it was 0.
unique_fd listen_at(endpoint& here) {
    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    const int on = 1;  // the one use of it for datagrams: several sockets on one port, and each gets its copy
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    return listener;
}

/// Sends `text` to all who listen at `there`, and prints whether it was allowed. Returns that, too.
bool shout(const unique_fd& sender, const endpoint& there, std::string_view text) {
    const auto sent = sendto(sender.get(), text.data(), text.size(), 0, there.get(), there.size);
    std::cout << "sendto: " << (sent == -1 ? std::strerror(errno) : "sent") << '\n';
    return sent != -1;
}

/// Prints what `listener` hears within two seconds. Returns whether it was `text`.
bool heard(const unique_fd& listener, std::string_view text) {
    std::array<char, 1024> buffer;
    endpoint sender;
    pollfd arrival{listener.get(), POLLIN, 0};
    if (check("poll", poll(&arrival, 1, 2000)) == 0) {
        std::cout << "heard nothing for two seconds\n";
        return false;
    }
    const auto received = check(
        "recvfrom", recvfrom(listener.get(), buffer.data(), buffer.size(), 0, sender.get(), &sender.size));
    const std::string_view datagram{buffer.data(), static_cast<std::size_t>(received)};
    std::cout << "heard '" << datagram << "' from " << to_string(sender) << '\n';
    return datagram == text;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pn", "[-p PORT] [-n LISTENERS]"};
    // Bound to the broadcast address itself, a socket hears only what is meant for all.
    endpoint everybody = resolve("127.255.255.255", given.port(4444)).front();
    std::vector<unique_fd> listeners(static_cast<std::size_t>(given.number('n', 3, 1, 1000)));
    for (unique_fd& listener : listeners) listener = listen_at(everybody);
    std::cout << listeners.size() << " listeners at " << to_string(everybody) << '\n';

    const unique_fd sender{check("socket", socket(AF_INET, SOCK_DGRAM, 0))};
    std::cout << "without SO_BROADCAST: ";
    shout(sender, everybody, "refused");

    const int on = 1;
    check("setsockopt", setsockopt(sender.get(), SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    std::cout << "with SO_BROADCAST: ";
    if (!shout(sender, everybody, "hello, all")) return 1;

    bool all = true;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
        std::cout << "listener " << i + 1 << ' ';
        all = heard(listeners[i], "hello, all") && all;
    }
    return all ? 0 : 1;
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
