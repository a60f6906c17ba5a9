// A request of the bytes service, and its reply: what lab04's bytes_server spells out.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>

#include "posix.hpp"
#include "send_all.hpp"

/// The largest number that a client may ask for.
constexpr std::size_t most_bytes = std::size_t{1} << 30;

/// Returns the number that `line` asks for, or nothing if it is not a decimal number from 1 to most_bytes.
inline std::optional<std::size_t> parse_request(std::string_view line) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(line.data(), line.data() + line.size(), count);
    if (error != std::errc{} || end != line.data() + line.size()) return std::nullopt;
    if (count < 1 || count > most_bytes) return std::nullopt;
    return count;
}

/// Sends `count` stars. Throws std::system_error if the connection breaks.
inline void send_stars(const unique_fd& connection, std::size_t count) {
    // One block is sent again and again: no client costs more memory than this.
    std::array<char, 65536> stars;
    stars.fill('*');
    while (count > 0) {
        const std::size_t size = std::min(count, stars.size());
        send_all(connection, std::span{stars}.first(size));
        count -= size;
    }
}
