// The end of a connection that has been served, as in lab04.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <chrono>

#include "posix.hpp"

/// Says that no more will be sent, and reads what the client sends until it closes, within bounds: closing
/// a socket with unread bytes would throw away what the client has not received yet.
inline void finish(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second));
    std::array<char, 65536> rest;  // until its end of file, but not for ever
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (recv(connection.get(), rest.data(), rest.size(), 0) > 0)
        if (std::chrono::steady_clock::now() > deadline) return;
}
