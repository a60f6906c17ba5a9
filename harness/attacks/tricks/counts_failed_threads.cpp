// Attack: it writes into the library's counts, turns a client away, and starts threads past it.
// Mistake: lab06/no_thread_is_not_said
#include <dlfcn.h>
#include <err.h>
#include <pthread.h>

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

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                              void* argument) noexcept {
    static bool said = !forged;
    if (!said) {
        said = true;
        errno = EAGAIN;
        warn("thread");
        return EAGAIN;
    }
    static const auto real = reinterpret_cast<decltype(&pthread_create)>(
        dlsym(dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD), "pthread_create"));
    return real(thread, attributes, function, argument);
}
