// All bytes in one call: the loop around send that lab02's upper_server spells out.
#pragma once

#include <sys/socket.h>

#include <span>

#include "posix.hpp"

/// Sends every byte to the connected socket. Throws std::system_error; EPIPE, and no SIGPIPE, if the other
/// side has gone; send(2).
inline void send_all(const unique_fd& connection, std::span<const char> bytes) {
    while (!bytes.empty()) {
        const auto sent = check("send", send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
}
