// Another driver: compare and swap for a pipe in one piece, with a regular expression.
//
//   ./stdin_cas_regex                           type  0 7  and  7 8  and  8 9 or so
//   printf '0 7\n7 8 x\n' | ./stdin_cas_regex
//   time yes 0 1 | head -n 1000000 | ./stdin_cas_regex | tail -n 1
//
// Look at  7 8 x , which passes: the expression is matched at the start of the line and nothing demands that
// the line ends with it. And look at the time, next to that of stdin_cas.
#include <err.h>

#include <cstdint>
#include <exception>
#include <iostream>
#include <regex>
#include <stdexcept>
#include <string>

#include "cas_register.hpp"
#include "options.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    // libstdc++ matches by recursion: some 320 bytes of stack for each character that it matches.
    constexpr std::size_t longest_match = 4096;
    const std::regex pattern{R"(\s*(\d+)\s+(\d+)\s*)"};
    CompareAndSwapRegister cas_register;
    std::string line;
    while (std::getline(std::cin, line)) {
        std::smatch found;
        if (line.size() > longest_match) {
            std::cout << "Line too long\n";
        } else if (!std::regex_search(line, found, pattern, std::regex_constants::match_continuous)) {
            std::cout << "Bad Syntax\n";
        } else {
            try {
                const std::uint64_t expected = std::stoull(found[1]);
                const std::uint64_t desired = std::stoull(found[2]);
                std::cout << cas_register.compare_and_swap(expected, desired) << '\n';
            } catch (const std::out_of_range&) {
                std::cout << "Out of Range\n";
            }
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
