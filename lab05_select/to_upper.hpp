// Upper case for the upper service: what lab02's upper_server spells out.
#pragma once

#include <span>

/// Turns the ASCII letters a to z in `bytes` into A to Z. All other bytes stay, whatever the locale.
inline void to_upper(std::span<char> bytes) {
    for (char& c : bytes)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
}
