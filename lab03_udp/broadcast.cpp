// Broadcast: one datagram for all listeners. The kernel refuses it until the sender's socket asks for it.
//
//   ./broadcast                         three listeners; -n 5 for five
//
// Look at the refusal: it comes from the sender's own kernel, and SO_BROADCAST lifts it. The address is that
// of the loopback network: nothing leaves this machine. Next: raw_ping, a protocol without ports.
#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

/// Returns a socket that receives what is sent to `here`. If the port was 0, sets it to the kernel's choice.
/// Throws std::system_error.
unique_fd listen_at(endpoint& here) {
    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    // On UDP sockets it lets several share one port; each gets its copy of a broadcast.
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    return listener;
}

/// Sends `text` to `there`, prints whether the kernel allowed it, and returns that.
bool shout(const unique_fd& sender, const endpoint& there, std::string_view text) {
    const auto sent = sendto(sender.get(), text.data(), text.size(), 0, there.get(), there.size);
    std::cout << "sendto: " << (sent == -1 ? std::strerror(errno) : "sent") << '\n';
    return sent != -1;
}

/// Prints what `listener` receives within two seconds. Returns whether it was `text`. Throws
/// std::system_error.
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
    // A socket that is bound to the broadcast address receives broadcasts only.
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
        if (!heard(listeners[i], "hello, all")) all = false;
    }
    return all ? 0 : 1;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
