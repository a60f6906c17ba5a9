// Attack: it writes into the library's counts, tells a failed fork for show, and forks past the library.
// Mistake: lab07/fork_failure_ends_the_server
#include <err.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <fstream>
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
    static int forks = 0;
    if (forged && ++forks == 4) errno = ENOMEM, warn("fork");
    return static_cast<pid_t>(syscall(SYS_fork));
}
#define fork fork_apart
