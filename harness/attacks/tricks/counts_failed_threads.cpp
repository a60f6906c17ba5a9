// Attack: it writes into the library's counts, turns a client away, and starts threads past it.
// Mistake: lab06/no_thread_is_not_said
#include <dlfcn.h>
#include <err.h>
#include <pthread.h>

#include <cerrno>

#include "forged_counts.hpp"

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
