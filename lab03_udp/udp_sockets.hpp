// A datagram socket in one call: what udp_upper_server and udp_upper_client spell out, for all programs after
// them.
#pragma once

#include <sys/socket.h>

#include <iostream>
#include <string>

#include "choose_address.hpp"
#include "posix.hpp"

/// Returns a UDP socket that receives at `address` (a name or a number, IPv4 or IPv6) and `port`; with port 0
/// the kernel chooses one. Prints `listening on ADDRESS:PORT`. Throws std::system_error if a call fails,
/// std::runtime_error if there is no such address.
inline unique_fd receive_at(const std::string& address, int port) {
    endpoint here = resolve(address, port).front();
    unique_fd server{check("socket", socket(here.storage.ss_family, SOCK_DGRAM, 0))};
    check("bind", bind(server.get(), here.get(), here.size));
    check("getsockname", getsockname(server.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';
    return server;
}

/// Returns a UDP socket that sends to `host` and `port`, and receives from there alone. Throws
/// std::system_error if a call fails, std::runtime_error if the host has no address.
inline unique_fd connect_datagrams(const std::string& host, int port) {
    const endpoint there = choose_address(host, port);
    unique_fd server{check("socket", socket(there.storage.ss_family, SOCK_DGRAM, 0))};
    check("connect", connect(server.get(), there.get(), there.size));
    return server;
}
