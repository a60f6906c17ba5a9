// The explorer: one thread of a program runs at a time, and each choice of who runs next is recorded.
//
// schedules.cpp keeps the threads, the choices and the record; schedules_calls.cpp replaces the calls that
// programs make (pthread_mutex_lock, …) by ones that ask it. Both become one library for LD_PRELOAD.
// exploring/engine.py starts programs under it, and explains the numbers below to people.
#pragma once

#include <dlfcn.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// What glibc's headers say of a function's arguments is no part of a template's argument.
#pragma GCC diagnostic ignored "-Wignored-attributes"

namespace schedules {

constexpr int most_threads = 200;
constexpr int most_objects = 4096;
constexpr int most_options = 32;
constexpr std::int64_t no_deadline = INT64_MAX;

/// What a thread waits for. It can be chosen to run when it has it.
enum class want : std::uint8_t {
    nothing,  // it can run
    lock,     // what: to own it
    share,    // what: to read-lock it
    permit,   // what: a POSIX semaphore above zero
    end,      // joins: the end of that thread
    told,     // what: to be told by another thread (condition, futex, barrier)
    time,     // its deadline
    outside,  // it is in a call that waits for the world outside
    ready,    // fds: one of them, in a small world (schedules_world.cpp)
    over      // it has ended
};

/// The events of the record. exploring/engine.py has the same list.
enum class event : std::uint8_t {
    begins,
    ends,
    creates,
    joins,
    detaches,
    locks,
    waits_for_lock,
    unlocks,
    tries_in_vain,
    shares,
    unshares,
    waits,
    wakes_one,
    wakes_all,
    woken,
    spurious,
    times_out,
    yields,
    sleeps,
    leaves,
    returns,
    runs,
    posts,
    waited
};

/// How a run came to its end, unless the program ended by itself.
enum class outcome : std::uint32_t { ended, deadlock, endless, misuse, cannot, stuck, spins, diverged };

/// Anything that threads wait for, by its address.
struct object {
    const void* address = nullptr;
    int owner = -1;   // the thread that has it locked
    int depth = 0;    // how often
    int readers = 0;  // how many have read-locked it
    int value = 0;    // a barrier's: how many have come
    int count = 0;    // a barrier's: how many have to come
};

struct thread {
    std::uint32_t go = 0;  // a futex: 1 when it is its turn
    want wants = want::over;
    object* what = nullptr;
    object* again = nullptr;  // the mutex to lock when the waiting on a condition ends
    int joins = -1;
    bool timed_out = false;
    bool joined = false;
    bool yielded = false;                 // and nobody else has run since
    std::int64_t deadline = no_deadline;  // nanoseconds of the clock below
    std::int64_t late = no_deadline;      // the deadline of a waiting that has ended in time, until it runs
    std::uint64_t since = 0;              // when its waiting began, for the order of waiters
    std::uint64_t priority = 0;
    pollfd* fds = nullptr;
    nfds_t fd_count = 0;
    pthread_t handle{};
    std::int32_t tid = 0;
    char name[16]{};
};

/// A name that a template can have.
template <std::size_t size>
struct text {
    char characters[size]{};
    consteval text(const char (&given)[size]) { std::copy(given, given + size, characters); }
};

/// The real function of that name: the C library's, or ThreadSanitizer's in a program built with it. All are
/// looked up when the library is loaded, once for all the runs.
template <typename Function, text name>
class real_function {
 public:
    static Function* get() {
        (void)early_;
        if (found_ == nullptr) found_ = reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name.characters));
        return found_;
    }

 private:
    static inline constinit Function* found_ = nullptr;
    static inline const bool early_ = get() != nullptr;
};

extern bool active;  // whether this process is being explored
extern bool small_world;
extern __attribute__((
    tls_model("initial-exec"))) thread_local int me;  // this thread's number, -1 if it is not known

/// Whether the calling thread is explored. A thread that is not known, in a process that is, ends the run.
bool explored();

thread& self();
thread& of(int number);
object& find(const void* address);
int find_thread(pthread_t handle);

/// The time as the program sees it: it stands still, but for deadlines that are let pass.
std::int64_t now();
std::int64_t realtime_offset();
std::int64_t deadline_of(const timespec& time, clockid_t clock);

/// A choice: the calling thread could go on, and others run instead.
void point();
/// The same, but for a thread that has a mutex: who needs it could not run either, and who does not need it
/// can run before the thread locks it, or after.
void point_unless_locked();
/// Whether a new thread waits until the one that creates it has to wait.
bool begin_together();
/// The calling thread waits for `wants` (of `what`) until another gives it, or until the deadline passes.
/// Returns false if that passed.
bool wait_for(want wants, object* what, std::int64_t deadline = no_deadline);
/// The same for the waiting on a condition: unlocks the mutex meanwhile, and locks it again.
bool wait_on(object& condition, object& mutex, std::int64_t deadline);
/// Wakes one of those that are to be told by `what` (a choice if there are several) or all; returns how many.
int tell(object& what, int most);
void yield();

/// A call that may wait for the world outside: others run meanwhile.
void leave();
void come_back();

/// Whether nothing comes from outside: the clients are threads of the explorer.
bool in_a_small_world();
/// There: waits until one of them is ready. Returns false if the deadline passed before, or a signal came:
/// then errno is EINTR, and 0 otherwise.
bool wait_until_ready(pollfd* fds, nfds_t count, std::int64_t deadline);
bool is_ready(int fd, short what);
bool waits_for_nothing(int fd);  // O_NONBLOCK

/// A call that may wait until `what` can be done with fd: at once if it need not, else with the turn given
/// away.
template <typename Call>
auto outside(int fd, short what, Call call) {
    if (in_a_small_world()) {
        pollfd one{fd, what, 0};
        if (waits_for_nothing(fd))
            point();
        else if (!wait_until_ready(&one, 1, no_deadline))
            return static_cast<decltype(call())>(-1);
        return call();
    }
    if (is_ready(fd, what)) {
        point();
        return call();
    }
    leave();
    const auto result = call();
    come_back();
    return result;
}

/// In a small world: the server's process ends. Its sockets are closed, and then only its clients go on,
/// until they have done what they can.
void end_server();
/// How many clients the server has a connection to, as far as it knows.
int open_connections();
/// No thread but these and the calling one runs any more; waits for their end, or until none of them can run.
void end_others(const std::vector<int>& but);

/// The main thread gets a signal when it has its next turn, in a call that waits or between two steps.
void signal_main(int signal);
bool take_signal();

/// Starts a thread of the explorer's own, which nobody joins; returns its number.
int begin_thread(const std::string& name, void* (*function)(void*), void* argument);

void record(event what, const object* of = nullptr, int other = -1, std::int64_t value = 0);

/// Ends the run. `format` as in printf.
[[noreturn]] __attribute__((format(printf, 2, 3))) void finish(outcome how, const char* format, ...);

/// Registers a thread that is about to be created; returns its number.
int prepare_thread();
void forget_thread(int number);
void name_thread(int number, const char* name);
void name_client(int number, const std::string& name);
void thread_begins(int number);
void thread_ends();

}  // namespace schedules
