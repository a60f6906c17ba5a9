// std::cin and std::cout of a program that knows nothing of sockets, connected with one.
#pragma once

#include <sys/socket.h>

#include <iostream>
#include <streambuf>
#include <utility>

#include "posix.hpp"
#include "socket_stream.hpp"

/// A port of the kernel's choice where two processes meet. It listens from the start, before the fork, so
/// that neither can be too early.
struct meeting_point {
    endpoint address = resolve("127.0.0.1", 0).front();
    unique_fd listener{check("socket", socket(address.storage.ss_family, SOCK_STREAM, 0))};

    meeting_point() {
        check("bind", bind(listener.get(), address.get(), address.size));
        check("listen", listen(listener.get(), 1));
        check("getsockname", getsockname(listener.get(), address.get(), &address.size));
    }
};

/// Waits for the other process to connect.
inline unique_fd accept_at(meeting_point& here) {
    unique_fd connection{check("accept", accept(here.listener.get(), nullptr, nullptr))};
    here.listener.reset();
    return connection;
}

/// Connects to the other process.
inline unique_fd connect_to(meeting_point& there) {
    // The other process has its own copy: if it ends, connect fails, and does not wait for ever.
    there.listener.reset();
    unique_fd connection{check("socket", socket(there.address.storage.ss_family, SOCK_STREAM, 0))};
    check("connect", connect(connection.get(), there.address.get(), there.address.size));
    return connection;
}

/// While the object lives, std::cin, std::cout or both read and write a connected socket.
class redirection {
 public:
    enum streams { out, in, both };

    redirection(unique_fd connection, streams which) : connection_{std::move(connection)} {
        if (which != out) std::cin.rdbuf(&buffer_);
        if (which != in) std::cout.rdbuf(&buffer_);
    }
    redirection(const redirection&) = delete;
    redirection(redirection&&) = delete;
    redirection& operator=(const redirection&) = delete;
    redirection& operator=(redirection&&) = delete;
    ~redirection() {
        std::cout.flush();
        std::cin.rdbuf(terminal_in_);
        std::cout.rdbuf(terminal_out_);
    }

 private:
    unique_fd connection_;
    socket_buffer buffer_{connection_};
    std::streambuf* terminal_in_ = std::cin.rdbuf();
    std::streambuf* terminal_out_ = std::cout.rdbuf();
};

inline redirection redirect_out(meeting_point& there) {
    return {connect_to(there), redirection::out};
}

inline redirection redirect_in(meeting_point& there) {
    return {connect_to(there), redirection::in};
}

inline redirection redirect_both_as_client(meeting_point& there) {
    return {connect_to(there), redirection::both};
}

inline redirection redirect_both_as_server(meeting_point& here) {
    return {accept_at(here), redirection::both};
}
