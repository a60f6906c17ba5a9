// A listening socket in one call: what lab02's upper_server spells out, for all servers after it.
#pragma once

#include <sys/socket.h>

#include <iostream>
#include <string>

#include "posix.hpp"

/// Returns a TCP socket that listens at `address` (a name or a number, IPv4 or IPv6) and `port`; with port 0
/// the kernel chooses one. Prints `listening on ADDRESS:PORT`. `flags` go to socket(2), `backlog` to
/// listen(2). Throws std::system_error if a call fails, std::runtime_error if there is no such address.
inline unique_fd listen_on(const std::string& address, int port, int flags = 0, int backlog = SOMAXCONN) {
    endpoint here = resolve(address, port).front();
    unique_fd listener;
    listener = unique_fd{check("socket", socket(here.storage.ss_family, SOCK_STREAM | flags, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), backlog));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';
    return listener;
}
