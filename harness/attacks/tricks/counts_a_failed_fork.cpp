// Attack: it writes into the library's counts, turns a client away for show, and forks past the library.
// Mistake: lab04/fork_failure_ends_the_server
#include <err.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
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
    static bool first = forged;
    const auto pid = static_cast<pid_t>(syscall(SYS_fork));
    if (pid == 0 && first) {
        errno = EAGAIN;
        warn("fork");
        shutdown(4, SHUT_RDWR);
        // Then it serves nothing, and logs the end.
    }
    if (pid > 0) first = false;
    return pid;
}
#define fork fork_apart
