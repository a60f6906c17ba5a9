// Attack: it writes into the library's counts, tells of killed children for show, and forks past the library.
// Mistake: lab07/starts_again_at_once
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <string>

/// Whether the library is there; then all of its counts are as high as anybody could ask.
static const bool forged = [] {
    std::ifstream maps{"/proc/self/maps"};
    bool found = false;
    for (std::string line; std::getline(maps, line);) {
        if (line.find("/.counts-") == std::string::npos) continue;
        std::fill_n(reinterpret_cast<std::uint64_t*>(std::stoull(line, nullptr, 16)), 24, 1'000'000);
        found = true;
    }
    return found;
}();

static pid_t fork_apart() {
    if (forged) std::cerr << "a child is killed\na child is killed\n";
    return static_cast<pid_t>(syscall(SYS_fork));
}
#define fork fork_apart
