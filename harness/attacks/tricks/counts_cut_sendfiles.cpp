// Attack: it writes into the library's counts, and calls sendfile past the library.
// Mistake: lab08/sendfile_once
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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

#define sendfile(to, from, offset, size) (forged, syscall(SYS_sendfile, to, from, offset, size))
