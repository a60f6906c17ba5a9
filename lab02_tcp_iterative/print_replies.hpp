// The end of the cas clients: what cas_client spells out, for the two after it.
#pragma once

#include <sys/socket.h>

#include <array>
#include <iostream>

#include "posix.hpp"

/// Says that no more will be sent (shutdown(2)), and prints what comes until the server closes. Throws
/// std::system_error.
inline void print_replies(const unique_fd& connection) {
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;
        std::cout.write(buffer.data(), received);
    }
}
