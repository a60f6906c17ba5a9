// Which of a name's addresses a datagram goes to.
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "posix.hpp"

/// Returns the first IPv4 address of `host`, with `port`, or else its first address. A TCP client tries one
/// after the other until a connect succeeds. connect on a UDP socket sends nothing, and succeeds without a
/// server, too: it cannot tell whether the server is at [::1] or at 127.0.0.1. Throws std::runtime_error if
/// there is none.
inline endpoint choose_address(const std::string& host, int port) {
    const std::vector<endpoint> found = resolve(host, port);
    const auto ipv4 =
        std::ranges::find(found, AF_INET, [](const endpoint& address) { return address.storage.ss_family; });
    return ipv4 == found.end() ? found.front() : *ipv4;
}
