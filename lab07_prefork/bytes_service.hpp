// The bytes service of lab04's bytes_server: a client sends a line with a number N, and gets N stars. It is
// the same in every server of this lab; how a client gets to the process that serves it is what differs.
#pragma once

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "line_buffer.hpp"
#include "posix.hpp"
#include "send_all.hpp"

constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// Returns the number that `line` asks for; nothing if it is not a decimal number from 1 to most_bytes.
inline std::optional<std::size_t> parse_request(std::string_view line) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    if (error != std::errc{} || end != line.data() + line.size()) return std::nullopt;
    if (count < 1 || count > most_bytes) return std::nullopt;
    return count;
}

/// Sends `count` stars. Throws std::system_error if the client is gone.
inline void send_stars(const unique_fd& connection, std::size_t count) {
    static const std::string stars(65536, '*');  // the same block again and again, for every client
    while (count > 0) {
        const auto block = std::span{stars}.first(std::min(count, stars.size()));
        send_all(connection, block);
        count -= block.size();
    }
}

/// Sends the last words to a client that may still be sending, so that they arrive: to close while there are
/// bytes that nobody has read is to send a reset, at which the other side may drop what it has not read yet.
inline void refuse(const unique_fd& connection, std::string_view words) {
    send_all(connection, words);
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second));
    std::array<char, 65536> rest;  // until its end of file, but not for ever
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (recv(connection.get(), rest.data(), rest.size(), 0) > 0)
        if (std::chrono::steady_clock::now() > deadline) return;
}

/// Serves one client: a line, its reply, the end. Throws std::system_error if the client is gone.
inline void serve(const unique_fd& connection) {
    line_buffer lines;
    std::array<char, 1024> buffer;
    try {
        std::optional<std::string> line;
        while (!(line = lines.next())) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            if (received == 0) return;  // the client's end of file; half a line is no line
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
        }
        // Who has got the stars is not waited for, as lab04's child does: the next client wants this one.
        if (const auto count = parse_request(*line)) return send_stars(connection, *count);
        refuse(connection, "Bad Request\n");
    } catch (const line_too_long& error) {
        refuse(connection, error.what() + std::string{"\n"});
    }
}
