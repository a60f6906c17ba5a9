// The time as the lecture's programs print it: what lab02's echo_server spells out.
#pragma once

#include <array>
#include <ctime>
#include <string>

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
inline std::string now() {
    const std::time_t seconds = std::time(nullptr);
    // ctime_r writes 26 bytes, a newline and a null byte at the end.
    std::array<char, 26> text;
    return {ctime_r(&seconds, text.data()), text.size() - 2};
}
