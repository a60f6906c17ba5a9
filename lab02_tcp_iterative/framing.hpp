// Four ways to tell where a message ends in a stream of bytes. TCP knows none: what was sent as "start" and
// "connect" may arrive as "startco" and "nnect".
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>

// Each function cuts the first message off the front of `stream`, all bytes received so far, and returns it;
// or nothing, and the stream as it was, while the message is not all there.

/// Every message has `length` bytes.
inline std::optional<std::string> take_fixed(std::string& stream, std::size_t length) {
    // BEGIN SOLUTION: wait until the stream has a whole message, then cut it off.
    if (stream.size() >= length) {
        std::string message = stream.substr(0, length);
        stream.erase(0, length);
        return message;
    }
    // END SOLUTION
    return std::nullopt;
}

/// Every message is followed by the separator, which is no part of it.
inline std::optional<std::string> take_separated(std::string& stream, char separator) {
    // BEGIN SOLUTION: wait for the separator, then cut off what stands before it, and the separator itself.
    const std::size_t end = stream.find(separator);
    if (end != stream.npos) {
        std::string message = stream.substr(0, end);
        stream.erase(0, end + 1);
        return message;
    }
    // END SOLUTION
    return std::nullopt;
}

/// Every message follows its length in two bytes, the more significant first: so it may contain any byte.
inline std::optional<std::string> take_prefixed(std::string& stream) {
    // BEGIN SOLUTION: wait for the length, which may come in halves, and then for the bytes; cut both off.
    constexpr std::size_t prefix = 2;
    if (stream.size() >= prefix) {
        // Through unsigned char: a plain char above 127 is negative on most machines.
        const std::size_t high = static_cast<unsigned char>(stream[0]);
        const std::size_t low = static_cast<unsigned char>(stream[1]);
        const std::size_t length = high * 256 + low;
        if (stream.size() >= prefix + length) {
            std::string message = stream.substr(prefix, length);
            stream.erase(0, prefix + length);
            return message;
        }
    }
    // END SOLUTION
    return std::nullopt;
}

/// The connection carries one message, which ends when the connection is closed.
inline std::optional<std::string> take_until_close(std::string& stream, bool closed) {
    if (!closed || stream.empty()) return std::nullopt;
    return std::exchange(stream, {});
}
