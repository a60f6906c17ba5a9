// Lingering close: how a server ends a connection so that its last bytes arrive.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>

#include "posix.hpp"

/// To be called before a connection is closed whose client may still be sending. A close with unread bytes
/// sends a reset, and the client may lose what it has not read yet. So: say that no more will come
/// (shutdown(2)), then read until the client closes, for two seconds at most. Throws std::system_error.
inline void linger_before_close(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second));
    std::array<char, 65536> rest;
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (recv(connection.get(), rest.data(), rest.size(), 0) > 0)
        if (std::chrono::steady_clock::now() > deadline) return;
}
