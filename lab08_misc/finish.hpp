// The end of a connection that has been served, as in lab04.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <array>

#include "posix.hpp"

/// Says that no more will be sent, and reads what the client sends until it closes, within bounds: closing
/// a socket with unread bytes would throw away what the client has not received yet.
inline void finish(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval patience{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    std::array<char, 65536> ignored;
    for (int times = 0; times < 64; ++times)
        if (recv(connection.get(), ignored.data(), ignored.size(), 0) <= 0) break;
}
