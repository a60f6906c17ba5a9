// How a thread or a process serves a client of the bytes service: what lab04's bytes_server spells out.
#pragma once

#include <sys/socket.h>

#include <array>
#include <optional>
#include <string>
#include <string_view>

#include "bytes_request.hpp"
#include "line_buffer.hpp"
#include "lingering_close.hpp"
#include "posix.hpp"
#include "send_all.hpp"

/// Serves one client: a line, its reply, the end. Throws std::system_error if the connection breaks.
inline void serve(const unique_fd& connection) {
    std::array<char, 1024> buffer;
    line_buffer lines;
    std::optional<std::string> line;
    try {
        while (!(line = lines.next())) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            // 0 is the client's end of file. Half a line is no line.
            if (received == 0) return;
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
        }
        const std::optional<std::size_t> count = parse_request(*line);
        if (count)
            send_stars(connection, *count);
        else
            send_all(connection, std::string_view{"Bad Request\n"});
    } catch (const line_too_long& error) {
        send_all(connection, error.what() + std::string{"\n"});
    }
    linger_before_close(connection);
}
