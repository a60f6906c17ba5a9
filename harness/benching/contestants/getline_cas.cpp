// The plainest lab01: a line, two numbers, a reply.
#include <charconv>
#include <cstdint>
#include <iostream>
#include <string>

int main() {
    std::ios::sync_with_stdio(false);
    std::uint64_t value = 0;
    for (std::string line; std::getline(std::cin, line);) {
        std::uint64_t old = 0;
        std::uint64_t next = 0;
        const char* end = line.data() + line.size();
        const auto first = std::from_chars(line.data(), end, old);
        if (first.ec != std::errc{} || first.ptr == end ||
            std::from_chars(first.ptr + 1, end, next).ec != std::errc{}) {
            std::cout << "Bad Syntax\n";
            continue;
        }
        std::cout << value << '\n';
        if (value == old) value = next;
    }
}
