// TCP delivers bytes, not lines: what recv returns is kept here until a whole line is there.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

/// Thrown by line_buffer::next for a line of more than line_buffer::max_line bytes.
struct line_too_long : std::runtime_error {
    line_too_long() : std::runtime_error{"Line too long"} {}
};

class line_buffer {
 public:
    static constexpr std::size_t max_line = 65536;  // bytes before the newline

    /// Takes the bytes of one recv, of any number.
    void append(std::string_view chunk) { bytes_ += chunk; }

    /// Returns the next whole line without its newline, or nothing while there is none. Call it until there
    /// is none before the next append: then the buffer never holds more than max_line bytes and one chunk.
    std::optional<std::string> next() {
        const std::size_t end = bytes_.find('\n', searched_);
        if (std::min(end, bytes_.size()) > max_line) throw line_too_long{};
        if (end != bytes_.npos) {
            std::string line = bytes_.substr(0, end);
            bytes_.erase(0, end + 1);
            searched_ = 0;
            return line;
        }
        searched_ = bytes_.size();  // the next call looks at the new bytes only
        return std::nullopt;
    }

 private:
    std::string bytes_;
    std::size_t searched_ = 0;  // no newline before this position
};
