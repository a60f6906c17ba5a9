// A connected socket in one call: what lab02's upper_client spells out, for all clients after it.
#pragma once

#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <system_error>

#include "posix.hpp"

/// Returns a TCP socket that is connected to `host` (a name or a number, IPv4 or IPv6) at `port`. Throws
/// std::system_error if none of its addresses answers; std::runtime_error if it has none.
inline unique_fd connect_to(const std::string& host, int port) {
    for (const endpoint& there : resolve(host, port)) {
        unique_fd connection{socket(there.storage.ss_family, SOCK_STREAM, 0)};
        if (connection.get() == -1) continue;
        if (connect(connection.get(), there.get(), there.size) == 0) return connection;
    }
    throw std::system_error{errno, std::generic_category(), "connect"};
}
