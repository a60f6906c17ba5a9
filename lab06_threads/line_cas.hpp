// The protocol of the cas service: a line OLD NEW asks for one compare and swap.
#pragma once

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <system_error>

/// Returns the first character in [first, last) that is not a blank: space, tab, CR, VT or FF.
inline const char* skip_blanks(const char* first, const char* last) {
    while (first != last && (*first == ' ' || *first == '\t' || (*first >= '\v' && *first <= '\r'))) ++first;
    return first;
}

/// Takes one line without its newline: blanks, digits, blanks, digits, blanks, and nothing else. Returns the
/// register's value before the swap, or "Bad Syntax", or "Out of Range" for a number above 2^64 - 1; the
/// last two leave the register as it is. Register is any class with compare_and_swap.
template <typename Register>
std::string line_cas(Register& cas_register, std::string_view line) {
    // from_chars takes digits and nothing else, no blank and no sign, and says where they end.
    const char* const end = line.data() + line.size();
    std::uint64_t expected = 0;
    std::uint64_t desired = 0;
    const auto first = std::from_chars(skip_blanks(line.data(), end), end, expected);
    const char* const second_start = skip_blanks(first.ptr, end);
    const auto second = std::from_chars(second_start, end, desired);
    const bool well_formed = first.ec != std::errc::invalid_argument && second_start != first.ptr &&
                             second.ec != std::errc::invalid_argument && skip_blanks(second.ptr, end) == end;
    if (well_formed) {
        if (first.ec != std::errc{} || second.ec != std::errc{}) return "Out of Range";
        return std::to_string(cas_register.compare_and_swap(expected, desired));
    }
    return "Bad Syntax";
}
