// The explorer's core: the threads, the choices, the record, and the server that starts one run after the
// other.
//
// A program under it (LD_PRELOAD) stops before main and becomes a server: it reads requests from its standard
// input, forks a child for each, which runs main, and answers on its standard output. EXPLORE_INPUT names the
// file that is the child's standard input. With EXPLORE_SCHEDULE instead, main runs once, in this process, by
// that schedule: so a debugger can look.
//
// A request is a line: MODE SEED DEPTH LENGTH SPURIOUS STEPS WANTED TOGETHER AGAIN CHOICES
//   MODE    0: the choices that are listed, else the first option; 1: by chance, from SEED
//   DEPTH   and LENGTH: of PCT (Burckhardt, ASPLOS 2010): so many changes of priority within so many steps
//   SPURIOUS    wake-ups that may happen for no reason; STEPS: more than these have no end
//   WANTED  bit 0: the choices, bit 1: the events
//   TOGETHER    1: no choice at the creation of a thread; a join is made when nothing else can run
//   AGAIN   1: the child of the last run may call main once more, if it has returned 0 and all is joined
//   CHOICES position.option,… in ascending order, or -
//
// Compiled with -fno-threadsafe-statics, since the guards of static objects call syscall, which is one of the
// calls that are replaced; and with -fno-tree-loop-distribute-patterns, so that no loop becomes a memcpy,
// which ThreadSanitizer would take for the program's.
#include "schedules.hpp"

#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <linux/futex.h>
#include <malloc.h>
#include <sched.h>
#include <signal.h>
#include <stdio_ext.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/single_threaded.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <locale>
#include <optional>
#include <utility>
#include <vector>

namespace schedules {

bool active = false;
bool small_world = false;
thread_local int me = -1;

namespace {

constexpr std::uint32_t most_choices = 1U << 20;
constexpr std::uint32_t most_events = 1U << 13;  // the last ones of a run
constexpr std::size_t most_output = 1U << 20;
constexpr int nobody = -1;
constexpr int most_yields = 5000;  // in a row

/// One choice: how many options there were, which was taken, which of them (bits) count as a preemption.
struct choice {
    std::uint8_t count;
    std::uint8_t taken;
    std::uint16_t unused;
    std::uint32_t costs;
};

/// One event; `output` is how much the program had written before it.
struct entry {
    event what;
    std::uint8_t who;
    std::int16_t other;
    std::int32_t of;
    std::int64_t value;
    std::uint32_t output;
    std::uint32_t choices;
    std::array<std::uint64_t, 8> frames;
};

/// A thread, and what it waited for when the explorer ended the run.
struct sleeper {
    want wants;
    std::int8_t unused;
    std::int16_t joins;
    std::int32_t what;
    std::int32_t owner;
    std::int32_t unused2;
    char name[16];
};

struct planned {
    std::uint32_t position;
    std::uint32_t option;
};

/// One request.
struct request {
    int mode = 0;
    std::uint64_t seed = 0;
    std::uint64_t depth = 0;
    std::uint64_t length = 1;
    int spurious = 0;
    std::uint64_t steps = 100'000;
    unsigned wanted = 0;
    int together = 0;
    int again = 0;
    std::size_t plan_size = 0;
    std::array<planned, 1U << 16> plan;
};

/// What the server and the child that runs share.
struct shared_memory {
    outcome how;
    std::uint32_t forced;  // turns taken from a thread that only computed
    std::uint64_t steps;
    std::uint32_t choices;
    std::uint32_t events;
    std::int32_t tid;  // of the thread that runs
    std::uint32_t threads;
    char message[512];
    std::array<sleeper, most_threads> sleepers;
    std::array<choice, most_choices> taken;
    std::array<entry, most_events> seen;
    std::uint32_t rests;  // a futex: 1 while the child has ended a run and waits for the next request
    request asked;
};

/// What the server says of a run, before the choices, events, threads and the output.
struct answer {
    std::uint32_t magic;
    std::int32_t status;  // as of wait(2)
    outcome how;
    std::uint32_t forced;
    std::uint64_t steps;
    std::uint32_t choices;
    std::uint32_t events;
    std::uint32_t threads;
    std::uint32_t message;
    std::uint32_t output;
    std::uint32_t errors;
};

shared_memory* shared = nullptr;
request* asked = nullptr;  // in it
std::array<thread, most_threads> threads;
std::array<object, most_objects> objects;
std::array<std::uint16_t, 2 * most_objects> places;  // by a hash of the address: the object's number + 1
int object_count = 0;
int thread_count = 0;
int clients = 0;  // threads of the explorer's own
int signal_for_main = 0;
int running = nobody;
int yields = 0;  // since a thread has had, told, begun or ended anything
std::size_t next_planned = 0;
std::uint64_t chance_state = 0;
constexpr std::uint64_t first_lowest = 1U << 20;
std::uint64_t lowest = first_lowest;    // the priority that the next thread to be put behind all others gets
std::array<std::uint64_t, 16> changes;  // PCT: the steps at which the running thread's priority changes
constexpr std::int64_t first_time = 1'000'000'000'000;  // 1000 s
std::int64_t clock_now = first_time;
constexpr std::int64_t realtime_ahead = 1'767'225'600'000'000'000;
std::uint64_t waits_begun = 0;
std::uint32_t guard = 0;       // held while the state above is changed: calls outside come back at any time
volatile bool inside = false;  // the running thread is in here
pthread_key_t end_key;
std::uintptr_t program_begin = 0;
std::uintptr_t program_end = 0;
std::uintptr_t program_base = 0;

long futex(std::uint32_t* word, int operation, std::uint32_t value) {
    const auto real = real_function<long(long, ...), "syscall">::get();
    return real(SYS_futex, word, operation, value, nullptr, nullptr, 0);
}

void take_guard() {
    std::uint32_t free = 0;
    if (__atomic_compare_exchange_n(&guard, &free, 1U, false, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
    while (__atomic_exchange_n(&guard, 2U, __ATOMIC_ACQUIRE) != 0) futex(&guard, FUTEX_WAIT_PRIVATE, 2);
}

void give_guard() {
    if (__atomic_exchange_n(&guard, 0U, __ATOMIC_RELEASE) == 2) futex(&guard, FUTEX_WAKE_PRIVATE, 1);
}

void start(thread& one) {
    __atomic_store_n(&one.go, 1U, __ATOMIC_RELEASE);
    futex(&one.go, FUTEX_WAKE_PRIVATE, 1);
}

void await_turn() {
    thread& mine = threads[me];
    while (__atomic_load_n(&mine.go, __ATOMIC_ACQUIRE) == 0) futex(&mine.go, FUTEX_WAIT_PRIVATE, 0);
    __atomic_store_n(&mine.go, 0U, __ATOMIC_RELAXED);
    shared->tid = mine.tid;
}

/// splitmix64
std::uint64_t chance() {
    std::uint64_t z = (chance_state += 0x9E3779B97F4A7C15U);
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
}

/// With the system call itself: it is not the program that looks.
bool any_ready(pollfd* fds, nfds_t count) {
    const auto real = real_function<long(long, ...), "syscall">::get();
    const int saved = errno;
    timespec at_once{0, 0};
    const bool ready = real(SYS_ppoll, fds, count, &at_once, nullptr, 0) != 0;
    errno = saved;
    return ready;
}

bool enabled(const thread& one) {
    switch (one.wants) {
        case want::ready:
            return any_ready(one.fds, one.fd_count) || (&one == threads.data() && signal_for_main != 0);
        case want::nothing:
            return true;
        case want::lock:
            return one.what->owner == nobody && one.what->readers == 0;
        case want::share:
            return one.what->owner == nobody;
        case want::permit:
            return one.what->value > 0;
        case want::end:
            return threads[one.joins].wants == want::over;
        default:
            return false;
    }
}

struct option {
    int who;
    bool costs;
    bool timed;  // its deadline passes
};

/// Records a choice among `count` options, the first of which is the usual one, and returns the one to take.
int choose(int count, std::uint32_t costs, int by_chance) {
    if (count < 2) return 0;
    const std::uint32_t position = shared->choices++;
    int taken = 0;
    if (asked->mode == 1) taken = by_chance;
    if (next_planned < asked->plan_size && asked->plan[next_planned].position == position) {
        taken = static_cast<int>(asked->plan[next_planned++].option);
        if (taken >= count)
            finish(outcome::diverged, "choice %u has %d options, not %d", position, count, taken + 1);
    }
    if (position < most_choices)
        shared->taken[position] = {static_cast<std::uint8_t>(count), static_cast<std::uint8_t>(taken), 0,
                                   costs};
    return taken;
}

[[noreturn]] void deadlock() {
    if (small_world)
        finish(outcome::deadlock, "no thread can run; %d connections are open", open_connections());
    finish(outcome::deadlock, "no thread can run");
}

/// By chance: odd seeds walk at random, even ones follow PCT.
int pick(const std::array<option, most_options>& options, int count) {
    if (asked->mode != 1) return 0;
    if (asked->seed % 2 == 1) {
        const std::uint64_t rarely = shared->steps < 2000 ? 4 : 400;  // to change is dear
        if (options[0].who == me && chance() % rarely != 0) return 0;
        const int taken = static_cast<int>(chance() % static_cast<std::uint64_t>(count));
        return options[taken].timed && options[taken].costs && chance() % 4 != 0 ? 0 : taken;
    }
    int best = 0;
    for (int i = 1; i < count; ++i) {
        if (options[i].timed && options[i].costs && chance() % 16 != 0) continue;
        if (threads[options[i].who].priority > threads[options[best].who].priority) best = i;
    }
    return best;
}

int gather(std::array<option, most_options>& options, bool yielding) {
    int count = 0;
    const bool going_on = enabled(threads[me]);
    const auto add = [&](int who, bool costs, bool timed) {
        if (count < most_options) options[count++] = {who, costs, timed};
    };
    if (going_on && !yielding) add(me, false, false);
    for (int i = 1; i < thread_count; ++i) {
        const int other = (me + i) % thread_count;
        if (!enabled(threads[other])) continue;
        if (asked->together != 0 && threads[other].wants == want::end) continue;
        add(other, going_on && !yielding, false);
    }
    if (going_on && yielding && (count == 0 || !threads[me].yielded)) add(me, false, false);
    for (int i = 0; i < thread_count && count == 0; ++i)  // a join that was left out above
        if (enabled(threads[i])) add(i, false, false);
    const bool anybody = count > 0;
    const int first_timed = count;
    for (int i = 0; i < thread_count; ++i) {
        const int other = (me + i) % thread_count;
        if (threads[other].deadline != no_deadline && !enabled(threads[other])) add(other, true, true);
        // It is told in time, and looks at the clock only when that is over.
        if (threads[other].late != no_deadline && enabled(threads[other])) add(other, true, true);
    }
    std::stable_sort(
        options.begin() + first_timed, options.begin() + count,
        [](const option& a, const option& b) { return threads[a.who].deadline < threads[b.who].deadline; });
    for (int i = first_timed; i < count; ++i) {
        const std::int64_t deadline = threads[options[i].who].deadline;
        if (deadline == no_deadline) continue;
        const bool next_to_pass = !anybody && deadline == threads[options[first_timed].who].deadline;
        if (deadline <= clock_now || next_to_pass) options[i].costs = false;
    }
    return count;
}

/// The deadline of `one` passes: it goes on without what it waited for, but for a condition's mutex.
void let_time_pass(thread& one) {
    if (one.late != no_deadline) {
        clock_now = std::max(clock_now, one.late);
        one.late = no_deadline;
        return;
    }
    clock_now = std::max(clock_now, one.deadline);
    one.deadline = no_deadline;
    one.timed_out = true;
    one.what = one.again;
    one.again = nullptr;
    one.wants = one.what != nullptr ? want::lock : want::nothing;
}

/// Chooses who runs next. The calling thread has said what it wants. Returns once it has the turn again.
void pass_turn(bool yielding = false) {
    inside = true;
    take_guard();
    if (++shared->steps > asked->steps) finish(outcome::endless, "no end after %lu steps", asked->steps);
    for (std::uint64_t i = 0; asked->mode == 1 && i + 1 < asked->depth && i < changes.size(); ++i)
        if (shared->steps == changes[i]) threads[me].priority = i;
    if (yielding) threads[me].priority = --lowest;
    std::array<option, most_options> options;
    int chosen = nobody;
    while (chosen == nobody) {
        const int count = gather(options, yielding);
        if (count == 0) {
            bool awaited = false;
            bool alive = false;
            for (int i = 0; i < thread_count; ++i) {
                awaited |= threads[i].wants == want::outside;
                alive |= threads[i].wants != want::over;
            }
            if (!awaited && alive) deadlock();
            break;
        }
        std::uint32_t costs = 0;
        for (int i = 0; i < count; ++i)
            costs |= static_cast<std::uint32_t>(options[i].costs) << static_cast<unsigned>(i);
        const option& taken = options[choose(count, costs, pick(options, count))];
        if (taken.timed) {
            let_time_pass(threads[taken.who]);
            record(event::times_out, threads[taken.who].what, taken.who);
        }
        if (enabled(threads[taken.who])) chosen = taken.who;
    }
    if (yielding) threads[me].yielded = true;
    const bool over = threads[me].wants == want::over;
    if (chosen == me) {
        give_guard();
        inside = false;
        return;
    }
    for (int i = 0; i < thread_count; ++i) threads[i].yielded &= i == chosen;
    running = chosen;
    if (chosen != nobody) {
        record(event::runs, nullptr, chosen);
        start(threads[chosen]);
    }
    give_guard();
    if (over) return;
    await_turn();
    inside = false;
}

/// Ends the run if the calling thread waits, without a limit, for one that waits … for the calling thread.
void look_for_cycle() {
    int at = me;
    for (int hops = 0; hops <= thread_count; ++hops) {
        const thread& one = threads[at];
        if (one.deadline != no_deadline) return;
        if (one.wants == want::end)
            at = one.joins;
        else if ((one.wants == want::lock || one.wants == want::share) && one.what->owner != nobody)
            at = one.what->owner;
        else
            return;
        if (at == me) finish(outcome::deadlock, "each waits for the next");
    }
}

int number_of(const object* of) {
    return of == nullptr ? -1 : static_cast<int>(of - objects.data());
}

void find_program() {
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void*) {
            program_base = info->dlpi_addr;
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto& part = info->dlpi_phdr[i];
                if (part.p_type != PT_LOAD || (part.p_flags & PF_X) == 0) continue;
                program_begin = info->dlpi_addr + part.p_vaddr;
                program_end = program_begin + part.p_memsz;
            }
            return 1;  // the first is the program itself
        },
        nullptr);
}

/// The thread that runs has only computed for long: it may wait in a loop for what another is to do.
void on_no_progress(int, siginfo_t*, void* context) {
    if (!active || inside || me != running || me < 0) return;
#if defined(__x86_64__)
    const auto at =
        static_cast<std::uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP]);
#else
    const auto at = static_cast<std::uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.pc);
#endif
    if (at < program_begin || at >= program_end)
        return;  // in the C library it may hold a lock that is not seen here
    const int saved = errno;
    ++shared->forced;
    yield();
    errno = saved;
}

}  // namespace

bool explored() {
    if (!active || me == -2) return false;
    if (me < 0) finish(outcome::cannot, "a thread runs that pthread_create did not start");
    return true;
}

thread& self() {
    return threads[me];
}

thread& of(int number) {
    return threads[number];
}

object& find(const void* address) {
    auto place = (reinterpret_cast<std::uintptr_t>(address) >> 2U) * 0x9E3779B97F4A7C15U >> 40U;
    for (;; ++place) {
        std::uint16_t& number = places[place % places.size()];
        if (number == 0) {
            if (object_count == most_objects) finish(outcome::cannot, "more than %d locks", most_objects);
            objects[object_count].address = address;
            number = static_cast<std::uint16_t>(++object_count);
        }
        if (objects[number - 1].address == address) return objects[number - 1];
    }
}

int find_thread(pthread_t handle) {
    for (int i = thread_count - 1; i >= 0; --i)
        if (!threads[i].joined && pthread_equal(threads[i].handle, handle) != 0) return i;
    return nobody;
}

std::int64_t now() {
    return clock_now += 1000;  // so that a loop that looks at the clock sees it move
}

std::int64_t realtime_offset() {
    return realtime_ahead;
}

std::int64_t deadline_of(const timespec& time, clockid_t clock) {
    const std::int64_t seconds = std::min<std::int64_t>(time.tv_sec, 8'000'000'000);
    const std::int64_t at = seconds * 1'000'000'000 + time.tv_nsec;
    return clock == CLOCK_REALTIME && at > realtime_ahead / 2 ? at - realtime_ahead : at;
}

void point() {
    threads[me].wants = want::nothing;
    pass_turn();
    // A signal comes at any moment: here, or at a later one.
    if (me == 0 && signal_for_main != 0 && choose(2, 0, static_cast<int>(chance() % 2)) == 0) take_signal();
}

void point_unless_locked() {
    const bool locked = std::any_of(objects.begin(), objects.begin() + object_count,
                                    [](const object& it) { return it.owner == me; });
    if (!locked) point();
}

bool begin_together() {
    return asked->together != 0;
}

bool wait_for(want wants, object* what, std::int64_t deadline) {
    thread& mine = threads[me];
    mine.what = what;
    mine.wants = wants;
    mine.deadline = deadline;
    mine.timed_out = false;
    mine.since = ++waits_begun;
    if (deadline <= clock_now && !enabled(mine)) let_time_pass(mine);
    look_for_cycle();
    pass_turn();
    const bool timed_out = mine.timed_out;
    yields = 0;
    if (!timed_out) {
        if (wants == want::lock) {
            what->owner = me;
            what->depth = 1;
        } else if (wants == want::share)
            ++what->readers;
        else if (wants == want::permit)
            --what->value;
    }
    mine.wants = want::nothing;
    mine.what = nullptr;
    mine.deadline = mine.late = no_deadline;
    return !timed_out;
}

bool wait_on(object& condition, object& mutex, std::int64_t deadline) {
    thread& mine = threads[me];
    mine.timed_out = false;
    mine.since = ++waits_begun;
    const bool may_be_spurious = asked->spurious > 0;
    const bool at_once =
        may_be_spurious && choose(2, 0b10, asked->mode == 1 && chance() % 8 == 0 ? 1 : 0) == 1;
    mutex.owner = nobody;
    mutex.depth = 0;
    mine.what = &condition;
    mine.again = &mutex;
    mine.wants = want::told;
    mine.deadline = deadline;
    if (at_once) {
        --asked->spurious;
        record(event::spurious, &condition);
        mine.what = &mutex;
        mine.again = nullptr;
        mine.wants = want::lock;
        mine.deadline = no_deadline;
    } else {
        record(event::waits, &condition, -1, deadline);
        if (deadline <= clock_now) {
            let_time_pass(mine);
            record(event::times_out, &condition, me);
        }
    }
    pass_turn();
    mutex.owner = me;
    mutex.depth = 1;
    mine.wants = want::nothing;
    mine.what = nullptr;
    mine.deadline = mine.late = no_deadline;
    record(event::woken, &condition);
    return !mine.timed_out;
}

int tell(object& what, int most) {
    std::array<int, most_threads> waiters;
    int count = 0;
    for (int i = 0; i < thread_count; ++i)
        if (threads[i].wants == want::told && threads[i].what == &what) waiters[count++] = i;
    std::sort(waiters.begin(), waiters.begin() + count,
              [](int a, int b) { return threads[a].since < threads[b].since; });
    int told = 0;
    for (; told < most && count > 0; ++told) {
        const int options = std::min(count, most_options);
        const bool all = most - told >= count;
        const int taken =
            all ? 0 : choose(options, 0, static_cast<int>(chance() % static_cast<unsigned>(options)));
        thread& one = threads[waiters[taken]];
        one.what = one.again;
        one.again = nullptr;
        one.wants = one.what != nullptr ? want::lock : want::nothing;
        one.late = one.deadline;
        one.deadline = no_deadline;
        record(most == 1 ? event::wakes_one : event::wakes_all, &what, waiters[taken], count);
        std::copy(waiters.begin() + taken + 1, waiters.begin() + count, waiters.begin() + taken);
        --count;
    }
    if (told > 0) yields = 0;
    if (told == 0) record(most == 1 ? event::wakes_one : event::wakes_all, &what);
    return told;
}

void yield() {
    threads[me].wants = want::nothing;
    record(event::yields);
    if (++yields > most_yields) finish(outcome::endless, "the threads only yield to each other");
    pass_turn(true);
}

bool in_a_small_world() {
    return small_world;
}

bool wait_until_ready(pollfd* fds, nfds_t count, std::int64_t deadline) {
    take_signal();  // just before it would wait
    thread& mine = threads[me];
    mine.fds = fds;
    mine.fd_count = count;
    const bool waits = !any_ready(fds, count);
    if (waits) record(event::leaves);
    const bool in_time = wait_for(want::ready, nullptr, deadline);
    if (waits) record(event::returns);
    if (take_signal() && !any_ready(fds, count)) {
        errno = EINTR;
        return false;
    }
    errno = 0;
    return in_time;
}

void signal_main(int signal) {
    signal_for_main = signal;
}

bool take_signal() {
    if (me != 0 || signal_for_main == 0) return false;
    raise(std::exchange(signal_for_main, 0));  // its handler runs here, in its turn
    return true;
}

bool is_ready(int fd, short what) {
    pollfd one{fd, what, 0};
    return any_ready(&one, 1);
}

bool waits_for_nothing(int fd) {
    const int saved = errno;
    const bool nonblocking = (fcntl(fd, F_GETFL) & O_NONBLOCK) != 0;
    errno = saved;
    return nonblocking;
}

void leave() {
    record(event::leaves);
    thread& mine = threads[me];
    mine.wants = want::outside;
    // What pass_turn does, but for the waiting: that is done outside.
    inside = true;
    take_guard();
    std::array<option, most_options> options;
    int chosen = nobody;
    while (chosen == nobody) {
        const int count = gather(options, false);
        if (count == 0) break;
        std::uint32_t costs = 0;
        for (int i = 0; i < count; ++i)
            costs |= static_cast<std::uint32_t>(options[i].costs) << static_cast<unsigned>(i);
        const option& taken = options[choose(count, costs, pick(options, count))];
        if (taken.timed) let_time_pass(threads[taken.who]);
        if (enabled(threads[taken.who])) chosen = taken.who;
    }
    for (int i = 0; i < thread_count; ++i) threads[i].yielded &= i == chosen;
    running = chosen;
    inside = false;
    if (chosen != nobody) {
        record(event::runs, nullptr, chosen);
        start(threads[chosen]);
    }
    give_guard();
}

void come_back() {
    const int saved = errno;
    take_guard();
    threads[me].wants = want::nothing;
    const bool free = running == nobody;
    if (free) running = me;
    give_guard();
    if (free)
        shared->tid = threads[me].tid;
    else
        await_turn();
    record(event::returns);
    errno = saved;
}

void record(event what, const object* of, int other, std::int64_t value) {
    if ((asked->wanted & 2U) == 0) return;
    entry& one = shared->seen[shared->events % most_events];
    one.what = what;
    one.who = static_cast<std::uint8_t>(me);
    one.other = static_cast<std::int16_t>(other);
    one.of = number_of(of);
    one.value = value;
    struct stat status {};
    one.output = fstat(STDOUT_FILENO, &status) == 0 ? static_cast<std::uint32_t>(status.st_size) : 0;
    one.choices = shared->choices;
    one.frames.fill(0);
    std::array<void*, 24> found{};
    const int who = std::exchange(me, -2);  // it may lock
    const int depth = backtrace(found.data(), static_cast<int>(found.size()));
    me = who;
    std::size_t kept = 0;
    for (int i = 0; i < depth && kept < one.frames.size(); ++i) {
        const auto at = reinterpret_cast<std::uintptr_t>(found[i]);
        if (at >= program_begin && at < program_end) one.frames[kept++] = at - 1 - program_base;
    }
    ++shared->events;
}

void finish(outcome how, const char* format, ...) {
    active = false;
    if (shared->how == outcome::ended) {
        va_list values;
        va_start(values, format);
        std::vsnprintf(shared->message, sizeof shared->message, format, values);
        va_end(values);
        for (int i = 0; i < thread_count; ++i) {
            const thread& one = threads[i];
            name_thread(i, one.name);
            sleeper& kept = shared->sleepers[i];
            kept.wants = one.wants;
            kept.joins = static_cast<std::int16_t>(one.joins);
            kept.what = number_of(one.again != nullptr || one.wants != want::over ? one.what : nullptr);
            kept.owner = one.what != nullptr ? one.what->owner : nobody;
        }
        shared->how = how;
    }
    if (std::getenv("EXPLORE_SCHEDULE") != nullptr) {
        std::fprintf(stderr, "\n[the schedule ends here: %s]\n", shared->message);
        raise(SIGTRAP);  // a debugger stops here: `thread apply all backtrace`
    }
    std::fflush(nullptr);
    _exit(0);
}

void end_others(const std::vector<int>& but) {
    for (int i = 0; i < thread_count; ++i)
        if (i != me && std::find(but.begin(), but.end(), i) == but.end()) threads[i].wants = want::over;
    for (const int other : but) {
        if (other == me) continue;
        threads[me].joins = other;
        wait_for(want::end, nullptr);
    }
}

int prepare_thread() {
    if (thread_count == most_threads) finish(outcome::cannot, "more than %d threads", most_threads);
    thread& one = threads[thread_count];
    one = thread{};
    one.wants = want::nothing;
    one.priority = (1U << 20) + chance() % (1U << 30);
    char name[16];
    std::snprintf(name, sizeof name, thread_count == 0 ? "main" : "Thread-%d", thread_count - clients);
    shared->threads = static_cast<std::uint32_t>(thread_count + 1);
    name_thread(thread_count, name);
    return thread_count++;
}

/// Without strncpy, which ThreadSanitizer would take for the program's.
void name_thread(int number, const char* name) {
    for (std::size_t i = 0; i < sizeof threads[number].name - 1; ++i) {
        threads[number].name[i] = *name;
        shared->sleepers[number].name[i] = *name;
        if (*name != '\0') ++name;
    }
}

void name_client(int number, const std::string& name) {
    ++clients;
    name_thread(number, name.c_str());
}

void forget_thread(int number) {
    if (number == thread_count - 1) --thread_count;
}

void thread_begins(int number) {
    me = number;
    threads[number].tid = static_cast<std::int32_t>(gettid());
    if (number > 0)
        await_turn();
    else
        shared->tid = threads[number].tid;
    inside = false;
    pthread_setspecific(end_key, &threads[me]);
    record(event::begins);
}

/// The destructor of a key: pthread_exit and a return from the thread's function both come to it.
void thread_ends() {
    static thread_local bool others_first =
        true;  // destructors of other keys: what is to be done at a thread's exit
    if (!active || me < 0) return;
    if (std::exchange(others_first, false)) {
        pthread_setspecific(end_key, &threads[me]);
        return;
    }
    record(event::ends);
    threads[me].wants = want::over;
    pass_turn();
    me = -2;
}

namespace {

/// Reads the choices `position.option,…`. Returns whether they are such.
bool read_plan(const char* text) {
    asked->plan_size = 0;
    if (*text == '-' || *text == '\0' || *text == '\n') return true;
    char* rest = nullptr;
    while (asked->plan_size < asked->plan.size()) {
        const unsigned long position = std::strtoul(text, &rest, 10);
        if (rest == text || *rest != '.') return false;
        text = rest + 1;
        const unsigned long taken = std::strtoul(text, &rest, 10);
        if (rest == text) return false;
        asked->plan[asked->plan_size++] = {static_cast<std::uint32_t>(position),
                                           static_cast<std::uint32_t>(taken)};
        if (*rest != ',') return *rest == '\0' || *rest == '\n';
        text = rest + 1;
    }
    return false;
}

bool read_request(const char* line) {
    int used = 0;
    if (std::sscanf(line, "%d %lu %lu %lu %d %lu %u %d %d %n", &asked->mode, &asked->seed, &asked->depth,
                    &asked->length, &asked->spurious, &asked->steps, &asked->wanted, &asked->together,
                    &asked->again, &used) != 9)
        return false;
    return read_plan(line + used);
}

std::optional<cpu_set_t> processors() {
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return std::nullopt;
    return allowed;
}

/// What the child does before main.
void set_out() {
    // On one processor: the threads take turns, and to wake one on another processor is dear. On another one
    // for later runs, lest two explorers stay on the same. Best effort.
    static const std::optional<cpu_set_t> before = processors();
    static int runs = 0;
    if (before && runs % 16 == 0) {
        const cpu_set_t allowed = *before;
        int place = (getpid() + runs / 16) % CPU_COUNT(&allowed);
        int processor = 0;
        while (!CPU_ISSET(processor, &allowed) || place-- > 0) ++processor;
        cpu_set_t here;
        CPU_ZERO(&here);
        CPU_SET(processor, &here);
        sched_setaffinity(0, sizeof here, &here);
    }
    ++runs;
    chance_state = asked->seed * 0x2545F4914F6CDD1DU + 1;
    for (std::uint64_t& change : changes) change = 1 + chance() % std::max<std::uint64_t>(asked->length, 1);
    if (runs == 1) pthread_key_create(&end_key, [](void*) { thread_ends(); });
    struct sigaction forced {};
    forced.sa_sigaction = on_no_progress;
    forced.sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER;
    sigaction(SIGVTALRM, &forced, nullptr);
    const int number = prepare_thread();
    threads[number].handle = pthread_self();
    running = number;
    small_world = std::getenv("EXPLORE_CLIENTS") != nullptr;
    active = true;
    thread_begins(number);
}

using main_function = int(int, char**, char**);
main_function* real_main = nullptr;

/// Static variables: the program's own, and the main thread's.
struct part {
    char* begin;
    std::vector<char> before;
};

std::vector<part> static_parts() {
    std::vector<part> found;
    dl_iterate_phdr(
        [](dl_phdr_info* info, std::size_t, void* data) {
            const auto add = [&](void* begin, std::size_t size) {
                auto* from = static_cast<char*>(begin);
                static_cast<std::vector<part>*>(data)->push_back({from, {from, from + size}});
            };
            for (int i = 0; i < info->dlpi_phnum; ++i) {
                const auto& one = info->dlpi_phdr[i];
                if (one.p_type == PT_LOAD && (one.p_flags & PF_W) != 0)
                    add(reinterpret_cast<void*>(info->dlpi_addr + one.p_vaddr), one.p_memsz);
                if (one.p_type == PT_TLS && info->dlpi_tls_data != nullptr)
                    add(info->dlpi_tls_data, one.p_memsz);
            }
            return 1;  // the first is the program itself
        },
        &found);
    return found;
}

/// Gives static variables the values that they had before main.
void restore(const std::vector<part>& parts) {
    for (const part& one : parts)
        for (std::size_t i = 0; i < one.before.size(); ++i)
            if (one.begin[i] != one.before[i]) one.begin[i] = one.before[i];  // some of it is read-only
}

bool all_are_joined() {
    return std::all_of(threads.begin() + 1, threads.begin() + thread_count,
                       [](const thread& one) { return one.wants == want::over && one.joined; });
}

/// In the child: tells the server that the run has ended, and waits for the next request.
void rest() {
    const auto call = real_function<long(long, ...), "syscall">::get();
    __atomic_store_n(&shared->rests, 1U, __ATOMIC_RELEASE);
    kill(getppid(), SIGUSR1);
    while (__atomic_load_n(&shared->rests, __ATOMIC_ACQUIRE) == 1)
        call(SYS_futex, &shared->rests, FUTEX_WAIT, 1, nullptr, nullptr, 0);
}

/// All that the last run has changed in here, as it was before.
void forget() {
    std::fill_n(objects.begin(), object_count, object{});
    places.fill(0);
    object_count = thread_count = clients = signal_for_main = yields = 0;
    running = nobody;
    next_planned = 0;
    waits_begun = 0;
    lowest = first_lowest;
    clock_now = first_time;
    inside = false;
}

/// The child: runs main, and again as long as it may.
[[noreturn]] void run(int argc, char** argv, char** environment) {
    const std::vector<part> parts = asked->again != 0 ? static_parts() : std::vector<part>{};
    std::vector<char*> arguments;
    while (true) {
        arguments.assign(argv, argv + argc + 1);  // getopt changes their order
        set_out();
        const int status = real_main(argc, arguments.data(), environment);
        if (asked->again == 0 || status != 0 || !all_are_joined()) {
            end_server();
            std::exit(status);
        }
        active = false;
        std::fflush(nullptr);
        restore(parts);
        __fpurge(stdin);
        std::clearerr(stdin);
        rest();
        forget();
    }
}

double cpu_seconds(pid_t child) {
    clockid_t clock = 0;
    timespec used{};
    if (clock_getcpuclockid(child, &clock) != 0) return 0;
    const auto real = real_function<int(clockid_t, timespec*), "clock_gettime">::get();
    return real(clock, &used) == 0
               ? static_cast<double>(used.tv_sec) + static_cast<double>(used.tv_nsec) / 1e9
               : 0;
}

/// Waits for the end of the child, or of its run; takes the turn from a thread that only computes, and ends
/// what does nothing.
int supervise(pid_t child, const sigset_t& child_ended) {
    const auto call = real_function<long(long, ...), "syscall">::get();
    int status = 0;
    std::uint64_t seen = 0;
    double computed = cpu_seconds(child);
    int idle = 0;
    while (__atomic_load_n(&shared->rests, __ATOMIC_ACQUIRE) == 0 && waitpid(child, &status, WNOHANG) == 0) {
        const timespec pause{0, 20'000'000};
        if (sigtimedwait(&child_ended, nullptr, &pause) > 0) continue;
        const double used = cpu_seconds(child);
        if (shared->steps != seen) {
            seen = shared->steps;
            computed = used;
            idle = 0;
            continue;
        }
        if (used - computed > 0.03) {
            if (used - computed > 2) {
                shared->how = outcome::spins;
                kill(child, SIGKILL);
            } else
                call(SYS_tgkill, child, shared->tid, SIGVTALRM);
        } else if (++idle > 500) {
            shared->how = outcome::stuck;
            kill(child, SIGKILL);
        }
    }
    return status;
}

/// A file in memory, or, where a sandbox refuses that, one in the program's directory.
int scratch_file() {
    int file = memfd_create("explored", MFD_CLOEXEC);
    if (file == -1) file = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (file == -1) {
        char name[] = "explored-XXXXXX";
        file = mkostemp(name, O_CLOEXEC);
        unlink(name);
    }
    if (file != -1) fcntl(file, F_SETFL, O_APPEND);
    return file;
}

bool write_all(int file, const void* data, std::size_t size) {
    const char* at = static_cast<const char*>(data);
    while (size > 0) {
        const auto real = real_function<ssize_t(int, const void*, std::size_t), "write">::get();
        const ssize_t written = real(file, at, size);
        if (written <= 0) return false;
        at += written;
        size -= static_cast<std::size_t>(written);
    }
    return true;
}

/// The same for several parts, with one call if possible: whoever reads them wakes up once.
bool write_all(int file, std::array<iovec, 6>& parts) {
    const ssize_t written = writev(file, parts.data(), static_cast<int>(parts.size()));
    std::size_t left_out = written > 0 ? static_cast<std::size_t>(written) : 0;
    for (const iovec& part : parts) {
        const std::size_t done = std::min(left_out, part.iov_len);
        left_out -= done;
        if (!write_all(file, static_cast<const char*>(part.iov_base) + done, part.iov_len - done))
            return false;
    }
    return true;
}

bool send_file(int to, int file, std::size_t size) {
    std::array<char, 65536> buffer;
    for (std::size_t at = 0; at < size;) {
        const ssize_t got =
            pread(file, buffer.data(), std::min(buffer.size(), size - at), static_cast<off_t>(at));
        if (got <= 0 || !write_all(to, buffer.data(), static_cast<std::size_t>(got))) return false;
        at += static_cast<std::size_t>(got);
    }
    return true;
}

std::uint32_t size_of(int file) {
    struct stat status {};
    fstat(file, &status);
    return static_cast<std::uint32_t>(
        std::min<std::size_t>(static_cast<std::size_t>(status.st_size), most_output));
}

shared_memory* new_shared_memory() {
    void* memory = mmap(nullptr, sizeof(shared_memory), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) _exit(3);
    asked = &static_cast<shared_memory*>(memory)->asked;
    return static_cast<shared_memory*>(memory);
}

[[noreturn]] void serve(int argc, char** argv, char** environment) {
    const int requests = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 100);
    const int answers = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 100);
    const int output = scratch_file();
    const int errors = scratch_file();
    if (output == -1 || errors == -1) _exit(3);
    const char* name = std::getenv("EXPLORE_INPUT");
    const int input = open(name != nullptr ? name : "/dev/null", O_RDONLY | O_CLOEXEC);
    if (input == -1) _exit(3);
    mallopt(M_ARENA_MAX, 1);  // one thread runs at a time, so that one heap is enough for them
    shared = new_shared_memory();
    sigset_t child_ended;
    sigset_t before;
    sigemptyset(&child_ended);
    sigaddset(&child_ended, SIGCHLD);
    sigaddset(&child_ended, SIGUSR1);  // its run has ended
    sigprocmask(SIG_BLOCK, &child_ended, &before);
    FILE* lines = fdopen(requests, "r");
    char* line = nullptr;
    std::size_t capacity = 0;
    pid_t child = 0;  // that rests after a run
    const auto call = real_function<long(long, ...), "syscall">::get();
    while (getline(&line, &capacity, lines) > 0) {
        if (!read_request(line)) _exit(4);
        std::memset(static_cast<void*>(shared), 0, offsetof(shared_memory, sleepers));
        if (size_of(output) > 0 && ftruncate(output, 0) != 0) _exit(3);
        if (size_of(errors) > 0 && ftruncate(errors, 0) != 0) _exit(3);
        lseek(input, 0, SEEK_SET);
        if (child > 0 && asked->again == 0) {
            kill(child, SIGKILL);
            waitpid(child, nullptr, 0);
            child = 0;
        }
        const bool goes_on = child > 0;
        __atomic_store_n(&shared->rests, 0U, __ATOMIC_RELEASE);
        if (goes_on)
            call(SYS_futex, &shared->rests, FUTEX_WAKE, 1, nullptr, nullptr, 0);
        else
            child = fork();
        if (child == 0) {
            sigprocmask(SIG_SETMASK, &before, nullptr);
            dup2(input, STDIN_FILENO);
            close(input);
            dup2(output, STDOUT_FILENO);
            dup2(errors, STDERR_FILENO);
            close(answers);
            close(requests);
            run(argc, argv, environment);
        }
        if (child == -1) _exit(3);
        answer said{};
        said.status = supervise(child, child_ended);
        if (shared->rests == 0) child = 0;  // it has ended
        said.magic = 0x5C4ED01E;
        said.how = shared->how;
        said.forced = shared->forced;
        said.steps = shared->steps;
        said.choices = (asked->wanted & 1U) != 0 ? std::min(shared->choices, most_choices) : 0;
        said.events = std::min(shared->events, most_events);
        const std::uint32_t oldest = shared->events > most_events ? shared->events % most_events : 0;
        said.threads = std::min<std::uint32_t>(shared->threads, most_threads);
        said.message = static_cast<std::uint32_t>(strnlen(shared->message, sizeof shared->message));
        said.output = size_of(output);
        said.errors = size_of(errors);
        std::array<iovec, 6> parts{{
            {&said, sizeof said},
            {shared->taken.data(), said.choices * sizeof(choice)},
            {shared->seen.data() + oldest, (said.events - oldest) * sizeof(entry)},
            {shared->seen.data(), oldest * sizeof(entry)},
            {shared->sleepers.data(), said.threads * sizeof(sleeper)},
            {shared->message, said.message},
        }};
        if (!write_all(answers, parts) || !send_file(answers, output, said.output) ||
            !send_file(answers, errors, said.errors))
            break;
    }
    if (child > 0) kill(child, SIGKILL);
    _exit(0);
}

int explored_main(int argc, char** argv, char** environment) {
    find_program();
    unsetenv("LD_PRELOAD");  // what the program starts runs free
    std::array<void*, 4> some{};
    backtrace(some.data(), static_cast<int>(some.size()));  // it loads what it needs the first time
    // The first locale of a process with threads calls pthread_once, which would be a step of the first run.
    const char single = std::exchange(__libc_single_threaded, char{0});
    const std::locale first_one;
    __libc_single_threaded = single;
    if (const char* schedule = std::getenv("EXPLORE_SCHEDULE")) {
        shared = new_shared_memory();
        if (!read_request(schedule)) {
            std::fprintf(stderr, "no such schedule\n");
            _exit(2);
        }
        set_out();
        return real_main(argc, argv, environment);
    }
    serve(argc, argv, environment);
}

}  // namespace
}  // namespace schedules

/// The program's start: main is preceded by the explorer, and all static objects are there already.
extern "C" __attribute__((visibility("default"))) int __libc_start_main(int (*main)(int, char**, char**),
                                                                        int argc, char** argv, void (*init)(),
                                                                        void (*fini)(), void (*loader_fini)(),
                                                                        void* stack_end) {
    using start = int(int (*)(int, char**, char**), int, char**, void (*)(), void (*)(), void (*)(), void*);
    const auto real = schedules::real_function<start, "__libc_start_main">::get();
    std::array<char, 4096> path{};
    const char* program = std::getenv("EXPLORE");  // not what starts it: prlimit, say
    const bool wanted = program != nullptr && readlink("/proc/self/exe", path.data(), path.size() - 1) > 0 &&
                        std::strcmp(program, path.data()) == 0;
    if (wanted && (personality(0xffffffff) & ADDR_NO_RANDOMIZE) == 0) {
        // The same addresses in each run: an order by address is then always the same. Best effort.
        if (personality(ADDR_NO_RANDOMIZE) != -1 && (personality(0xffffffff) & ADDR_NO_RANDOMIZE) != 0)
            execv(path.data(), argv);
    }
    schedules::real_main = main;
    return real(wanted ? schedules::explored_main : main, argc, argv, init, fini, loader_fini, stack_end);
}
