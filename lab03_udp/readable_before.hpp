// A wait with a deadline: what udp_upper_client_retry spells out.
#pragma once

#include <poll.h>

#include <chrono>

#include "posix.hpp"

/// Waits for a datagram until `deadline`; returns whether there is one. Throws std::system_error; poll(2).
inline bool readable_before(const unique_fd& socket, std::chrono::steady_clock::time_point deadline) {
    const auto now = std::chrono::steady_clock::now();
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now);
    if (left.count() <= 0) return false;
    pollfd wanted{socket.get(), POLLIN, 0};
    return check("poll", poll(&wanted, 1, static_cast<int>(left.count()))) > 0;
}
