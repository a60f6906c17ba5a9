// Preloaded into a judged program that was built with ThreadSanitizer (LD_PRELOAD), this proves in that very
// process that the sanitizer works: at the beginning, where threads are started, and at the end, a write
// races with another one on purpose. The sanitizer asks OnReport below before it prints a report; it has to
// ask about each of these, and then prints nothing. It also counts locks, threads and changes of atomic
// variables.
//   WITNESS_COUNTS    names a file, shared with the harness, in which it counts
//   WITNESS_UNLOCKED  not 0: the locks work, but order nothing for the sanitizer, which then has to see a
//                     race where they protect something
// All of this has gone from the environment when the program's own code begins.
// g++ -std=c++20 -O2 -shared -fPIC -fno-threadsafe-statics -o witness.so witness.cpp
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <initializer_list>

#include "shared_counts.hpp"

namespace {
// The order is that of COUNTS in witness.py.
enum count : std::size_t {
    loaded,
    asked,
    seen,
    ended,
    words,
    begun_threads,
    taken_locks,
    changes,
    all_counts
};
std::atomic<std::uint64_t> own_counts[all_counts];

std::atomic<std::uint64_t>* counts = nullptr;
bool unlocked = false;
pid_t first_process = 0;

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));  // the sanitizer's
}

template <typename Function>
Function* hidden(const char* name) {
    static void* const library = dlopen("libc.so.6", RTLD_LAZY | RTLD_NOLOAD);  // where it does not look
    return reinterpret_cast<Function*>(dlsym(library, name));
}

void add(count what) {
    if (counts != nullptr) counts[what].fetch_add(1, std::memory_order_relaxed);
}

// --- the race on purpose

// The sanitizer would look up the source line of each address in the report, which takes long. So the calls
// come from a page of instructions that belong to no file.
constexpr int most_proofs = 64;
#ifdef __x86_64__
constexpr char through[] = "\x48\x83\xec\x08\xff\xd2\x48\x83\xc4\x08\xc3";  // call the third argument
#else
constexpr char through[] = "";
#endif

using calling = void*(void*, unsigned long, void*);
void* directly(void* first, unsigned long second, void* function) {
    return reinterpret_cast<void* (*)(void*, unsigned long)>(function)(first, second);
}

char* pages() {
    auto* const place =
        static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (place == MAP_FAILED) return nullptr;
    for (int i = 0; i < most_proofs; ++i) std::memcpy(place + 32 * i, through, sizeof through - 1);
    mprotect(place, 4096, PROT_READ | PROT_EXEC);
    return place;
}

thread_local bool racing = false;

/// Two contexts of the sanitizer write the same word, and nothing puts the writes in order.
void prove() {
    static std::atomic<int> proofs = 0;
    static char* const place = pages();
    void* const here = dlsym(RTLD_NEXT, "__tsan_get_current_fiber");
    void* const create = dlsym(RTLD_NEXT, "__tsan_create_fiber");
    void* const change = dlsym(RTLD_NEXT, "__tsan_switch_to_fiber");
    void* const destroy = dlsym(RTLD_NEXT, "__tsan_destroy_fiber");
    void* const writes = dlsym(RTLD_DEFAULT, "__tsan_write4");
    const int number = proofs++;
    if (number >= most_proofs) return;
    add(asked);
    if (place == nullptr || here == nullptr || create == nullptr || writes == nullptr) return;
    auto* const call = sizeof through > 1 ? reinterpret_cast<calling*>(place + 32 * number) : directly;
    char* const word = place + 4096 + 8 * number;
    constexpr unsigned long unordered = 1;
    racing = true;
    void* const own = directly(nullptr, 0, here);
    void* const other = call(nullptr, 0, create);
    call(other, unordered, change);
    call(word, 0, writes);
    call(own, unordered, change);
    call(word, 0, writes);
    call(other, 0, destroy);
    racing = false;
}

void prove_at_the_end() {
    if (getpid() != first_process) return;  // a child of it
    prove();
    add(ended);
}

__attribute__((constructor)) void begin() {
    counts = shared_counts("WITNESS_COUNTS", own_counts, sizeof own_counts);
    first_process = getpid();
    const char* text = std::getenv("WITNESS_UNLOCKED");
    unlocked = text != nullptr && std::atol(text) != 0;
    for (char** entry = environ; *entry != nullptr;) {
        if (std::strncmp(*entry, "WITNESS_", 8) == 0) {
            std::memset(*entry, 0, std::strlen(*entry));
            for (char** rest = entry; *rest != nullptr; ++rest) *rest = rest[1];
        } else {
            ++entry;
        }
    }
    prove();
    add(loaded);
}

__attribute__((destructor)) void end() {
    prove_at_the_end();
}
}  // namespace

namespace __tsan {
struct ReportDesc;
bool OnReport(const ReportDesc*, bool suppressed);
bool OnReport(const ReportDesc*, bool suppressed) {
    if (!racing) return suppressed;
    if (!suppressed) add(seen);
    return true;
}
}  // namespace __tsan

extern "C" {
[[noreturn]] void _exit(int status) {
    prove_at_the_end();
    hidden<void(int)>("_exit")(status);
    __builtin_unreachable();
}
[[noreturn]] void _Exit(int status) noexcept {
    _exit(status);
}
[[noreturn]] void quick_exit(int status) noexcept {
    prove_at_the_end();
    hidden<void(int)>("quick_exit")(status);
    __builtin_unreachable();
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                   void* argument) {
    static const auto real = next<decltype(::pthread_create)>("pthread_create");
    static std::atomic<int> proofs = 2;
    if (proofs > 0 && proofs-- > 0) prove();
    add(begun_threads);
    return real(thread, attributes, function, argument);
}

/// Lets another thread take a lock before this one takes its next: what was written longer ago the sanitizer
/// may have forgotten. A hundred times at most, a millisecond each, since there may be no other thread.
void take_turns() {
    static std::atomic<int> waits_left = 100;
    static std::atomic<const char*> last = nullptr;
    static thread_local char self = 0;
    if (last == &self && waits_left > 0 && waits_left-- > 0) {
        const timespec pause{.tv_sec = 0, .tv_nsec = 50'000};
        for (int i = 0; i < 20 && last == &self; ++i) nanosleep(&pause, nullptr);
    }
    last = &self;
}

// --- what orders threads. Each call is the last one of its function, so that the sanitizer sees the
// program's own line.

#define ORDERS(name, counted, parameters, arguments)                  \
    int name parameters {                                             \
        static const auto seen_one = next<int parameters>(#name);     \
        static const auto hidden_one = hidden<int parameters>(#name); \
        if (counted) add(taken_locks);                                \
        if (counted && unlocked) take_turns();                        \
        return unlocked ? hidden_one arguments : seen_one arguments;  \
    }

ORDERS(pthread_mutex_lock, true, (pthread_mutex_t * mutex), (mutex))
ORDERS(pthread_mutex_trylock, true, (pthread_mutex_t * mutex), (mutex))
ORDERS(pthread_mutex_timedlock, true, (pthread_mutex_t * mutex, const timespec* until), (mutex, until))
ORDERS(pthread_mutex_clocklock, true, (pthread_mutex_t * mutex, clockid_t clock, const timespec* until),
       (mutex, clock, until))
ORDERS(pthread_mutex_unlock, false, (pthread_mutex_t * mutex), (mutex))
ORDERS(pthread_spin_lock, true, (pthread_spinlock_t * lock), (lock))
ORDERS(pthread_spin_trylock, true, (pthread_spinlock_t * lock), (lock))
ORDERS(pthread_spin_unlock, false, (pthread_spinlock_t * lock), (lock))
ORDERS(pthread_rwlock_rdlock, true, (pthread_rwlock_t * lock), (lock))
ORDERS(pthread_rwlock_tryrdlock, true, (pthread_rwlock_t * lock), (lock))
ORDERS(pthread_rwlock_wrlock, true, (pthread_rwlock_t * lock), (lock))
ORDERS(pthread_rwlock_trywrlock, true, (pthread_rwlock_t * lock), (lock))
ORDERS(pthread_rwlock_unlock, false, (pthread_rwlock_t * lock), (lock))
ORDERS(pthread_cond_wait, false, (pthread_cond_t * condition, pthread_mutex_t* mutex), (condition, mutex))
ORDERS(pthread_cond_timedwait, false,
       (pthread_cond_t * condition, pthread_mutex_t* mutex, const timespec* until), (condition, mutex, until))
ORDERS(pthread_cond_clockwait, false,
       (pthread_cond_t * condition, pthread_mutex_t* mutex, clockid_t clock, const timespec* until),
       (condition, mutex, clock, until))
ORDERS(pthread_cond_signal, false, (pthread_cond_t * condition), (condition))
ORDERS(pthread_cond_broadcast, false, (pthread_cond_t * condition), (condition))
ORDERS(pthread_barrier_wait, false, (pthread_barrier_t * barrier), (barrier))
ORDERS(sem_wait, true, (sem_t * semaphore), (semaphore))
ORDERS(sem_trywait, true, (sem_t * semaphore), (semaphore))
ORDERS(sem_post, false, (sem_t * semaphore), (semaphore))

// What changes an atomic variable in one step; a loop that compares and exchanges may need several.
#define CHANGES(type, bits, operation)                                                    \
    type __tsan_atomic##bits##_##operation(volatile type* place, type value, int order) { \
        static const auto real =                                                          \
            next<type(volatile type*, type, int)>("__tsan_atomic" #bits "_" #operation);  \
        add(changes);                                                                     \
        return real(place, value, order);                                                 \
    }
#define COMPARES(type, bits, kind)                                                                 \
    int __tsan_atomic##bits##_compare_exchange_##kind(volatile type* place, type* old, type value, \
                                                      int order, int otherwise) {                  \
        static const auto real = next<int(volatile type*, type*, type, int, int)>(                 \
            "__tsan_atomic" #bits "_compare_exchange_" #kind);                                     \
        add(changes);                                                                              \
        return real(place, old, value, order, otherwise);                                          \
    }
#define ATOMIC(type, bits)         \
    CHANGES(type, bits, exchange)  \
    CHANGES(type, bits, fetch_add) \
    CHANGES(type, bits, fetch_sub) \
    CHANGES(type, bits, fetch_and) \
    CHANGES(type, bits, fetch_or)  \
    CHANGES(type, bits, fetch_xor) \
    COMPARES(type, bits, strong)   \
    COMPARES(type, bits, weak)
ATOMIC(char, 8)
ATOMIC(short, 16)
ATOMIC(int, 32)
ATOMIC(long, 64)

// --- what the sanitizer reads before its first report: without this also the libraries' detached debugging
// information, where it is installed, which it unpacks for a tenth of a second

int open(const char* path, int flags, ...) {
    static const auto real = next<int(const char*, int, ...)>("open");
    std::va_list more;
    va_start(more, flags);
    const mode_t mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, mode_t) : 0;
    va_end(more);
    constexpr char detached[] = "/usr/lib/debug/";
    if (std::strncmp(path, detached, sizeof detached - 1) == 0) {
        errno = ENOENT;
        return -1;
    }
    return real(path, flags, mode);
}

// --- what a program could tell the sanitizer. The compiler itself calls none of it.

#define WORD(name)  \
    void name() {   \
        add(words); \
    }
WORD(AnnotateBenignRace)
WORD(AnnotateBenignRaceSized)
WORD(WTFAnnotateBenignRaceSized)
WORD(AnnotateHappensBefore)
WORD(AnnotateHappensAfter)
WORD(WTFAnnotateHappensBefore)
WORD(WTFAnnotateHappensAfter)
WORD(AnnotateIgnoreReadsBegin)
WORD(AnnotateIgnoreWritesBegin)
WORD(AnnotateIgnoreSyncBegin)
WORD(AnnotateEnableRaceDetection)
WORD(AnnotateRWLockCreate)
WORD(AnnotateRWLockCreateStatic)
WORD(AnnotateRWLockAcquired)
WORD(AnnotateRWLockReleased)
WORD(__tsan_acquire)
WORD(__tsan_release)
WORD(__tsan_ignore_thread_begin)
WORD(__tsan_mutex_create)
WORD(__tsan_mutex_pre_lock)
WORD(__tsan_mutex_post_lock)
WORD(__tsan_mutex_pre_divert)
WORD(__tsan_create_fiber)
WORD(__tsan_switch_to_fiber)
WORD(__sanitizer_set_report_fd)
WORD(__sanitizer_set_report_path)
WORD(__sanitizer_set_death_callback)
}
