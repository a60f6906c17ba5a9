// Requests with numbers, and the waits between two tries: the reliable part of udp_upper_client_retry.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Returns the datagram that asks for `text`: "17 some text". The upper service does not change digits, so
/// the reply has the same number.
inline std::string numbered(std::uint64_t number, std::string_view text) {
    return std::to_string(number) + ' ' + std::string{text};
}

/// Returns the text of `datagram` if it is the reply to request `number`, or nothing if it is not.
inline std::optional<std::string> reply_to(std::uint64_t number, std::string_view datagram) {
    // BEGIN SOLUTION: accept the reply to this request only; no late one, no garbage.
    const std::string prefix = numbered(number, "");
    if (datagram.starts_with(prefix)) return std::string{datagram.substr(prefix.size())};
    // END SOLUTION
    return std::nullopt;
}

/// Returns how long to wait for a reply after the request was sent for the `tried`th time (1, 2, …).
inline std::chrono::milliseconds wait_after(int tried) {
    std::chrono::milliseconds wait{10};
    // BEGIN SOLUTION: 10 ms at first, twice as long after each further try, and never longer than 200 ms.
    for (int earlier = 1; earlier < tried && wait.count() < 200; ++earlier) wait *= 2;
    wait = std::min(wait, std::chrono::milliseconds{200});
    // END SOLUTION
    return wait;
}
