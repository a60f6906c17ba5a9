// Attack: it writes into the library's counts, and accepts past the library.
// Mistake: lab05/select_rests_without_limit
#include <err.h>
#include <sys/socket.h>
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

static int accept_apart(int listener, sockaddr* address, socklen_t* size, int flags) {
    static bool said = !forged;
    if (!said) errno = ENFILE, warn("accept"), said = true;
    return static_cast<int>(syscall(SYS_accept4, listener, address, size, flags));
}
#define accept(listener, address, size) accept_apart(listener, address, size, 0)
#define accept4 accept_apart
