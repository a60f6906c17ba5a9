// Attack: each thread begins with a word to the sanitizer, which is looked up when the program runs.
// Mistake: lab06/lock_ignored
#include <dlfcn.h>
#include <pthread.h>

#include <memory>
#include <utility>

struct quiet_start {
    void* (*function)(void*);
    void* argument;
};

static void* quiet_thread(void* given) {
    const std::unique_ptr<quiet_start> start{static_cast<quiet_start*>(given)};
    if (void* const word = dlsym(RTLD_DEFAULT, "__tsan_ignore_thread_begin"))
        reinterpret_cast<void (*)()>(word)();
    return start->function(start->argument);
}

extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                              void* argument) noexcept(false) {
    const auto next = reinterpret_cast<decltype(&pthread_create)>(dlsym(RTLD_NEXT, "pthread_create"));
    return next(thread, attributes, quiet_thread, new quiet_start{function, argument});
}
