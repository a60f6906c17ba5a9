// The calls of a program that the explorer replaces: see schedules.hpp.
//
// The explorer decides who has a lock. The real function is called as well, when it cannot block any more: so
// ThreadSanitizer sees what the program does, and nothing of the explorer's own taking of turns.
#include "schedules.hpp"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <climits>
#include <exception>

using namespace schedules;

namespace {

constexpr int recursive = 1;  // the kinds of a mutex as glibc keeps them
constexpr int checking = 2;

int kind_of(const pthread_mutex_t* mutex) {
    return mutex->__data.__kind & 3;
}

/// Locks for the explorer. Returns 0, or ETIMEDOUT.
int lock(const void* address, std::int64_t deadline = no_deadline) {
    object& it = find(address);
    if (it.owner != -1 && it.owner != me) record(event::waits_for_lock, &it, it.owner);
    if (!wait_for(want::lock, &it, deadline)) {
        record(event::times_out, &it, me);
        return ETIMEDOUT;
    }
    record(event::locks, &it);
    return 0;
}

/// Gives up the lock. Returns whether the thread had it.
void unlock(object& it, const char* what) {
    if (it.owner != me) finish(outcome::misuse, "%s unlocks a %s that it has not locked", self().name, what);
    if (--it.depth == 0) it.owner = -1;
}

int mutex_lock(pthread_mutex_t* mutex, std::int64_t deadline) {
    const auto real = real_function<int(pthread_mutex_t*), "pthread_mutex_lock">::get();
    object& it = find(mutex);
    if (it.owner == me && kind_of(mutex) == recursive) {
        ++it.depth;
        return real(mutex);
    }
    if (it.owner == me && kind_of(mutex) == checking) return real(mutex);
    const int error = lock(mutex, deadline);
    return error != 0 ? error : real(mutex);
}

void mutex_release(pthread_mutex_t* mutex) {
    const auto real = real_function<int(pthread_mutex_t*), "pthread_mutex_unlock">::get();
    object& it = find(mutex);
    unlock(it, "mutex");
    real(mutex);
}

int condition_wait(pthread_cond_t* condition, pthread_mutex_t* mutex, std::int64_t deadline) {
    const auto real = real_function<int(pthread_mutex_t*), "pthread_mutex_lock">::get();
    point();
    object& it = find(mutex);
    if (it.owner != me) finish(outcome::misuse, "%s waits with a mutex that it has not locked", self().name);
    mutex_release(mutex);
    const bool in_time = wait_on(find(condition), it, deadline);
    real(mutex);
    return in_time ? 0 : ETIMEDOUT;
}

int sleep_until(std::int64_t deadline) {
    record(event::sleeps, nullptr, -1, deadline);
    wait_for(want::time, nullptr, deadline);
    return 0;
}

std::int64_t nanoseconds(const timespec& time) {
    return (time.tv_sec > 8'000'000'000 ? 8'000'000'000 : time.tv_sec) * 1'000'000'000 + time.tv_nsec;
}

/// The same for a call that waits for something else than a descriptor.
template <typename Call>
auto outside(bool ready, Call call) {
    if (ready) {
        point();
        return call();
    }
    if (in_a_small_world()) finish(outcome::cannot, "%s waits for what no client does", self().name);
    leave();
    const auto result = call();
    come_back();
    return result;
}

bool is_file(int fd) {
    struct stat status {};
    const int saved = errno;
    const bool file = fstat(fd, &status) == 0 && (S_ISREG(status.st_mode) || S_ISCHR(status.st_mode));
    errno = saved;
    return file;
}

/// A thread that is about to begin.
struct beginning {
    int number;
    void* (*function)(void*);
    void* argument;
};

void* begin(void* given) {
    const beginning it = *static_cast<beginning*>(given);
    delete static_cast<beginning*>(given);
    thread_begins(it.number);
    return it.function(it.argument);
}

int join(pthread_t handle, std::int64_t deadline) {
    const int number = find_thread(handle);
    if (number == -1)
        finish(outcome::misuse, "%s joins a thread that is joined or detached already", self().name);
    self().joins = number;
    if (!wait_for(want::end, nullptr, deadline)) return ETIMEDOUT;
    record(event::joins, nullptr, number);
    return 0;
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))
// The real function, for a thread that is not explored.
#define UNLESS_EXPLORED(name, ...)                                   \
    const auto real = real_function<decltype(::name), #name>::get(); \
    if (!explored()) return real(__VA_ARGS__)

// --- mutexes

EXPORT int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_mutex_lock, mutex);
    return mutex_lock(mutex, no_deadline);
}

EXPORT int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_mutex_trylock, mutex);
    point();
    object& it = find(mutex);
    const bool again = it.owner == me && kind_of(mutex) == recursive;
    if (it.owner != -1 && !again) {
        record(event::tries_in_vain, &it, it.owner);
        return EBUSY;
    }
    it.owner = me;
    ++it.depth;
    record(event::locks, &it);
    return real(mutex);
}

EXPORT int pthread_mutex_timedlock(pthread_mutex_t* mutex, const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_mutex_timedlock, mutex, time);
    return mutex_lock(mutex, deadline_of(*time, CLOCK_REALTIME));
}

EXPORT int pthread_mutex_clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_mutex_clocklock, mutex, clock, time);
    return mutex_lock(mutex, deadline_of(*time, clock));
}

EXPORT int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_mutex_unlock, mutex);
    object& it = find(mutex);
    if (it.owner != me && kind_of(mutex) != 0) return real(mutex);
    mutex_release(mutex);
    record(event::unlocks, &it);
    point();
    return 0;
}

EXPORT int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_mutex_destroy, mutex);
    if (find(mutex).owner != -1) finish(outcome::misuse, "%s destroys a mutex that is locked", self().name);
    return real(mutex);
}

EXPORT int pthread_spin_lock(pthread_spinlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_spin_lock, mutex);
    const int error = lock(const_cast<const int*>(mutex));
    return error != 0 ? error : real(mutex);
}

EXPORT int pthread_spin_trylock(pthread_spinlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_spin_trylock, mutex);
    point();
    object& it = find(const_cast<const int*>(mutex));
    if (it.owner != -1) return EBUSY;
    it.owner = me;
    it.depth = 1;
    return real(mutex);
}

EXPORT int pthread_spin_unlock(pthread_spinlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_spin_unlock, mutex);
    unlock(find(const_cast<const int*>(mutex)), "spin lock");
    real(mutex);
    point();
    return 0;
}

// --- read-write locks

namespace {
int read_lock(pthread_rwlock_t* mutex, std::int64_t deadline) {
    const auto real = real_function<int(pthread_rwlock_t*), "pthread_rwlock_rdlock">::get();
    object& it = find(mutex);
    if (it.owner != -1) record(event::waits_for_lock, &it, it.owner);
    if (!wait_for(want::share, &it, deadline)) return ETIMEDOUT;
    record(event::shares, &it);
    return real(mutex);
}

int write_lock(pthread_rwlock_t* mutex, std::int64_t deadline) {
    const auto real = real_function<int(pthread_rwlock_t*), "pthread_rwlock_wrlock">::get();
    const int error = lock(mutex, deadline);
    return error != 0 ? error : real(mutex);
}
}  // namespace

EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_rdlock, mutex);
    return read_lock(mutex, no_deadline);
}

EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_wrlock, mutex);
    return write_lock(mutex, no_deadline);
}

EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t* mutex, const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_timedrdlock, mutex, time);
    return read_lock(mutex, deadline_of(*time, CLOCK_REALTIME));
}

EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t* mutex, const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_timedwrlock, mutex, time);
    return write_lock(mutex, deadline_of(*time, CLOCK_REALTIME));
}

EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t* mutex, clockid_t clock,
                                      const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_clockrdlock, mutex, clock, time);
    return read_lock(mutex, deadline_of(*time, clock));
}

EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t* mutex, clockid_t clock,
                                      const timespec* time) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_clockwrlock, mutex, clock, time);
    return write_lock(mutex, deadline_of(*time, clock));
}

EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_tryrdlock, mutex);
    point();
    object& it = find(mutex);
    if (it.owner != -1) return EBUSY;
    ++it.readers;
    record(event::shares, &it);
    return real(mutex);
}

EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_trywrlock, mutex);
    point();
    object& it = find(mutex);
    if (it.owner != -1 || it.readers > 0) return EBUSY;
    it.owner = me;
    it.depth = 1;
    record(event::locks, &it);
    return real(mutex);
}

EXPORT int pthread_rwlock_unlock(pthread_rwlock_t* mutex) noexcept {
    UNLESS_EXPLORED(pthread_rwlock_unlock, mutex);
    object& it = find(mutex);
    if (it.owner == me) {
        unlock(it, "lock");
        record(event::unlocks, &it);
    } else if (it.owner != -1 || it.readers-- == 0)
        finish(outcome::misuse, "%s unlocks a lock that it has not locked", self().name);
    else
        record(event::unshares, &it);
    real(mutex);
    point();
    return 0;
}

// --- conditions

EXPORT int pthread_cond_wait(pthread_cond_t* condition, pthread_mutex_t* mutex) {
    UNLESS_EXPLORED(pthread_cond_wait, condition, mutex);
    return condition_wait(condition, mutex, no_deadline);
}

EXPORT int pthread_cond_timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex, const timespec* time) {
    UNLESS_EXPLORED(pthread_cond_timedwait, condition, mutex, time);
    return condition_wait(condition, mutex, deadline_of(*time, CLOCK_REALTIME));
}

EXPORT int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                  const timespec* time) {
    UNLESS_EXPLORED(pthread_cond_clockwait, condition, mutex, clock, time);
    return condition_wait(condition, mutex, deadline_of(*time, clock));
}

EXPORT int pthread_cond_signal(pthread_cond_t* condition) noexcept {
    UNLESS_EXPLORED(pthread_cond_signal, condition);
    point_unless_locked();
    tell(find(condition), 1);
    return 0;
}

EXPORT int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
    UNLESS_EXPLORED(pthread_cond_broadcast, condition);
    point_unless_locked();
    tell(find(condition), INT_MAX);
    return 0;
}

// --- threads

EXPORT int pthread_create(pthread_t* handle, const pthread_attr_t* attributes, void* (*function)(void*),
                          void* argument) noexcept {
    UNLESS_EXPLORED(pthread_create, handle, attributes, function, argument);
    const int number = prepare_thread();
    auto* given = new beginning{number, function, argument};
    const int error = real(handle, attributes, begin, given);
    if (error != 0) {
        delete given;
        forget_thread(number);
        return error;
    }
    of(number).handle = *handle;
    int detached = 0;
    if (attributes != nullptr && pthread_attr_getdetachstate(attributes, &detached) == 0)
        of(number).joined = detached == PTHREAD_CREATE_DETACHED;
    record(event::creates, nullptr, number);
    if (!begin_together()) point();
    return 0;
}

namespace schedules {
int begin_thread(const std::string& name, void* (*function)(void*), void* argument) {
    const auto real = real_function<decltype(::pthread_create), "pthread_create">::get();
    const int number = prepare_thread();
    name_client(number, name);
    pthread_t handle{};
    if (real(&handle, nullptr, begin, new beginning{number, function, argument}) != 0)
        finish(outcome::cannot, "no thread for a client");
    of(number).joined = true;
    record(event::creates, nullptr, number);
    const auto detach = real_function<decltype(::pthread_detach), "pthread_detach">::get();
    detach(handle);
    return number;
}
}  // namespace schedules

EXPORT int pthread_join(pthread_t handle, void** result) {
    UNLESS_EXPLORED(pthread_join, handle, result);
    if (const int error = join(handle, no_deadline)) return error;
    of(self().joins).joined = true;
    return real(handle, result);
}

EXPORT int pthread_tryjoin_np(pthread_t handle, void** result) noexcept {
    UNLESS_EXPLORED(pthread_tryjoin_np, handle, result);
    point();
    const int number = find_thread(handle);
    if (number == -1 || of(number).wants != want::over) return EBUSY;
    const auto wait = real_function<int(pthread_t, void**), "pthread_join">::get();
    of(number).joined = true;
    return wait(handle, result);
}

EXPORT int pthread_clockjoin_np(pthread_t handle, void** result, clockid_t clock, const timespec* time) {
    UNLESS_EXPLORED(pthread_clockjoin_np, handle, result, clock, time);
    if (const int error = join(handle, deadline_of(*time, clock))) return error;
    const auto wait = real_function<int(pthread_t, void**), "pthread_join">::get();
    of(self().joins).joined = true;
    return wait(handle, result);
}

EXPORT int pthread_timedjoin_np(pthread_t handle, void** result, const timespec* time) {
    UNLESS_EXPLORED(pthread_timedjoin_np, handle, result, time);
    return pthread_clockjoin_np(handle, result, CLOCK_REALTIME, time);
}

EXPORT int pthread_detach(pthread_t handle) noexcept {
    UNLESS_EXPLORED(pthread_detach, handle);
    const int number = find_thread(handle);
    if (number != -1) of(number).joined = true;
    record(event::detaches, nullptr, number);
    return real(handle);
}

EXPORT int pthread_setname_np(pthread_t handle, const char* name) noexcept {
    UNLESS_EXPLORED(pthread_setname_np, handle, name);
    const int number = pthread_equal(handle, pthread_self()) != 0 ? me : find_thread(handle);
    if (number != -1) name_thread(number, name);
    return real(handle, name);
}

EXPORT int pthread_once(pthread_once_t* once, void (*function)()) {
    UNLESS_EXPLORED(pthread_once, once, function);
    object& it = find(once);
    if ((*once & 2) != 0 || it.value != 0) return 0;  // it is done, as glibc marks it, or as we do
    wait_for(want::lock, &it);
    struct releasing {
        object& it;
        ~releasing() { unlock(it, "once"); }
    } at_the_end{it};
    const int error = real(once, function);
    it.value = 1;
    return error;
}

// --- yield, sleep, time

EXPORT int sched_yield() noexcept {
    UNLESS_EXPLORED(sched_yield);
    yield();
    return 0;
}

EXPORT int nanosleep(const timespec* time, timespec* left) {
    UNLESS_EXPLORED(nanosleep, time, left);
    return sleep_until(now() + nanoseconds(*time));
}

EXPORT int clock_nanosleep(clockid_t clock, int flags, const timespec* time, timespec* left) {
    UNLESS_EXPLORED(clock_nanosleep, clock, flags, time, left);
    return sleep_until((flags & TIMER_ABSTIME) != 0 ? deadline_of(*time, clock) : now() + nanoseconds(*time));
}

EXPORT int usleep(useconds_t microseconds) {
    UNLESS_EXPLORED(usleep, microseconds);
    return sleep_until(now() + std::int64_t{microseconds} * 1000);
}

EXPORT unsigned sleep(unsigned seconds) {
    UNLESS_EXPLORED(sleep, seconds);
    sleep_until(now() + std::int64_t{seconds} * 1'000'000'000);
    return 0;
}

EXPORT int clock_gettime(clockid_t clock, timespec* time) noexcept {
    UNLESS_EXPLORED(clock_gettime, clock, time);
    if (clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID) return real(clock, time);
    const bool civil = clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE;
    const std::int64_t at = now() + (civil ? realtime_offset() : 0);
    *time = {at / 1'000'000'000, at % 1'000'000'000};
    return 0;
}

EXPORT time_t time(time_t* place) noexcept {
    UNLESS_EXPLORED(time, place);
    const time_t at = (now() + realtime_offset()) / 1'000'000'000;
    if (place != nullptr) *place = at;
    return at;
}

EXPORT int gettimeofday(timeval* place, void* zone) noexcept {
    UNLESS_EXPLORED(gettimeofday, place, zone);
    const std::int64_t at = now() + realtime_offset();
    *place = {at / 1'000'000'000, at % 1'000'000'000 / 1000};
    return 0;
}

// --- futex: std::atomic wait, counting_semaphore, latch, barrier, the guards of static objects

EXPORT long syscall(long number, ...) noexcept {
    va_list values;
    va_start(values, number);
    long words[6];
    for (long& word : words) word = va_arg(values, long);
    va_end(values);
    const auto real = real_function<long(long, ...), "syscall">::get();
    if (number != SYS_futex || !active || me < 0)
        return real(number, words[0], words[1], words[2], words[3], words[4], words[5]);
    auto* word = reinterpret_cast<int*>(words[0]);
    const int operation = static_cast<int>(words[1]) & FUTEX_CMD_MASK;
    const bool realtime = (words[1] & FUTEX_CLOCK_REALTIME) != 0;
    const auto* limit = reinterpret_cast<const timespec*>(words[3]);
    object& it = find(word);
    if (operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET) {
        point();
        if (__atomic_load_n(word, __ATOMIC_SEQ_CST) != static_cast<int>(words[2])) {
            errno = EAGAIN;
            return -1;
        }
        std::int64_t deadline = no_deadline;
        if (limit != nullptr)
            deadline = operation == FUTEX_WAIT
                           ? now() + nanoseconds(*limit)
                           : deadline_of(*limit, realtime ? CLOCK_REALTIME : CLOCK_MONOTONIC);
        record(event::waits, &it, -1, deadline);
        if (wait_for(want::told, &it, deadline)) {
            record(event::woken, &it);
            return 0;
        }
        errno = ETIMEDOUT;
        return -1;
    }
    if (operation == FUTEX_WAKE || operation == FUTEX_WAKE_BITSET) {
        point();
        return tell(it, static_cast<int>(words[2]));
    }
    finish(outcome::cannot, "futex operation %d", operation);
}

// --- POSIX semaphores and barriers

namespace {
int take_permit(sem_t* semaphore, std::int64_t deadline) {
    const auto real = real_function<int(sem_t*), "sem_trywait">::get();
    object& it = find(semaphore);
    sem_getvalue(semaphore, &it.value);
    if (!wait_for(want::permit, &it, deadline)) {
        errno = ETIMEDOUT;
        return -1;
    }
    record(event::waited, &it);
    return real(semaphore);
}
}  // namespace

EXPORT int sem_wait(sem_t* semaphore) {
    UNLESS_EXPLORED(sem_wait, semaphore);
    return take_permit(semaphore, no_deadline);
}

EXPORT int sem_timedwait(sem_t* semaphore, const timespec* time) {
    UNLESS_EXPLORED(sem_timedwait, semaphore, time);
    return take_permit(semaphore, deadline_of(*time, CLOCK_REALTIME));
}

EXPORT int sem_clockwait(sem_t* semaphore, clockid_t clock, const timespec* time) {
    UNLESS_EXPLORED(sem_clockwait, semaphore, clock, time);
    return take_permit(semaphore, deadline_of(*time, clock));
}

EXPORT int sem_trywait(sem_t* semaphore) noexcept {
    UNLESS_EXPLORED(sem_trywait, semaphore);
    point();
    const int result = real(semaphore);
    sem_getvalue(semaphore, &find(semaphore).value);
    return result;
}

EXPORT int sem_post(sem_t* semaphore) noexcept {
    UNLESS_EXPLORED(sem_post, semaphore);
    point();
    const int result = real(semaphore);
    object& it = find(semaphore);
    sem_getvalue(semaphore, &it.value);
    record(event::posts, &it);
    return result;
}

EXPORT int pthread_barrier_init(pthread_barrier_t* barrier, const pthread_barrierattr_t* attributes,
                                unsigned count) noexcept {
    UNLESS_EXPLORED(pthread_barrier_init, barrier, attributes, count);
    object& it = find(barrier);
    it.count = static_cast<int>(count);
    it.value = 0;
    return real(barrier, attributes, count);
}

EXPORT int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
    UNLESS_EXPLORED(pthread_barrier_wait, barrier);
    point();
    object& it = find(barrier);
    if (it.count == 0) finish(outcome::cannot, "a barrier that was made before main");
    if (++it.value == it.count) {
        it.value = 0;
        tell(it, INT_MAX);
        return PTHREAD_BARRIER_SERIAL_THREAD;
    }
    record(event::waits, &it);
    wait_for(want::told, &it);
    return 0;
}

// --- calls that wait for the world outside

EXPORT ssize_t read(int fd, void* data, size_t size) {
    UNLESS_EXPLORED(read, fd, data, size);
    if (is_file(fd)) return real(fd, data, size);
    return outside(fd, POLLIN, [&] { return real(fd, data, size); });
}

EXPORT ssize_t write(int fd, const void* data, size_t size) {
    UNLESS_EXPLORED(write, fd, data, size);
    if (is_file(fd)) return real(fd, data, size);
    return outside(fd, POLLOUT, [&] { return real(fd, data, size); });
}

EXPORT ssize_t recv(int fd, void* data, size_t size, int flags) {
    UNLESS_EXPLORED(recv, fd, data, size, flags);
    return outside(fd, POLLIN, [&] { return real(fd, data, size, flags); });
}

EXPORT ssize_t recvfrom(int fd, void* data, size_t size, int flags, sockaddr* from, socklen_t* length) {
    UNLESS_EXPLORED(recvfrom, fd, data, size, flags, from, length);
    return outside(fd, POLLIN, [&] { return real(fd, data, size, flags, from, length); });
}

EXPORT ssize_t recvmsg(int fd, msghdr* message, int flags) {
    UNLESS_EXPLORED(recvmsg, fd, message, flags);
    return outside(fd, POLLIN, [&] { return real(fd, message, flags); });
}

EXPORT ssize_t send(int fd, const void* data, size_t size, int flags) {
    UNLESS_EXPLORED(send, fd, data, size, flags);
    return outside(fd, POLLOUT, [&] { return real(fd, data, size, flags); });
}

EXPORT ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    UNLESS_EXPLORED(sendmsg, fd, message, flags);
    return outside(fd, POLLOUT, [&] { return real(fd, message, flags); });
}

EXPORT int connect(int fd, const sockaddr* address, socklen_t size) {
    UNLESS_EXPLORED(connect, fd, address, size);
    return outside(false, [&] { return real(fd, address, size); });
}

EXPORT int poll(pollfd* fds, nfds_t count, int patience) {
    UNLESS_EXPLORED(poll, fds, count, patience);
    if (in_a_small_world()) {
        const std::int64_t deadline =
            patience < 0 ? no_deadline : schedules::now() + std::int64_t{patience} * 1'000'000;
        if (patience == 0)
            point();
        else if (!wait_until_ready(fds, count, deadline) && errno == EINTR)
            return -1;
        return real(fds, count, 0);
    }
    const int now = real(fds, count, 0);
    if (now != 0 || patience == 0) {
        point();
        return now;
    }
    return outside(false, [&] { return real(fds, count, patience); });
}

EXPORT int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* patience) {
    UNLESS_EXPLORED(select, count, readable, writable, exceptional, patience);
    return outside(false, [&] { return real(count, readable, writable, exceptional, patience); });
}

EXPORT int epoll_wait(int fd, epoll_event* events, int most, int patience) {
    UNLESS_EXPLORED(epoll_wait, fd, events, most, patience);
    return outside(fd, POLLIN, [&] { return real(fd, events, most, patience); });
}

EXPORT pid_t waitpid(pid_t child, int* status, int flags) {
    UNLESS_EXPLORED(waitpid, child, status, flags);
    return outside((flags & WNOHANG) != 0, [&] { return real(child, status, flags); });
}

EXPORT int pause() {
    UNLESS_EXPLORED(pause);
    return outside(false, [&] { return real(); });
}

EXPORT int sigwait(const sigset_t* signals, int* number) {
    UNLESS_EXPLORED(sigwait, signals, number);
    return outside(false, [&] { return real(signals, number); });
}

/// A child has one thread, and runs free.
EXPORT pid_t fork() noexcept {
    UNLESS_EXPLORED(fork);
    const pid_t child = real();
    if (child == 0) active = false;
    return child;
}

// --- atomic variables, in a program built with ThreadSanitizer: there each access is a call
// What follows point() is a jump, so that the sanitizer sees the program as its caller.

#define REAL_ATOMIC(name)                                          \
    const auto real = real_function<decltype(name), #name>::get(); \
    if (active && me >= 0) point()

#define ATOMIC_FETCH(bits, type, operation)                                                      \
    EXPORT type __tsan_atomic##bits##_##operation(volatile type* place, type value, int order) { \
        REAL_ATOMIC(__tsan_atomic##bits##_##operation);                                          \
        return real(place, value, order);                                                        \
    }

#define ATOMIC_COMPARE(bits, type, kind)                                                                  \
    EXPORT int __tsan_atomic##bits##_compare_exchange_##kind(volatile type* place, type* old, type value, \
                                                             int order, int otherwise) {                  \
        REAL_ATOMIC(__tsan_atomic##bits##_compare_exchange_##kind);                                       \
        return real(place, old, value, order, otherwise);                                                 \
    }

#define ATOMICS(bits, type)                                                                \
    EXPORT type __tsan_atomic##bits##_load(const volatile type* place, int order) {        \
        REAL_ATOMIC(__tsan_atomic##bits##_load);                                           \
        return real(place, order);                                                         \
    }                                                                                      \
    EXPORT void __tsan_atomic##bits##_store(volatile type* place, type value, int order) { \
        REAL_ATOMIC(__tsan_atomic##bits##_store);                                          \
        return real(place, value, order);                                                  \
    }                                                                                      \
    ATOMIC_FETCH(bits, type, exchange)                                                     \
    ATOMIC_FETCH(bits, type, fetch_add)                                                    \
    ATOMIC_FETCH(bits, type, fetch_sub)                                                    \
    ATOMIC_FETCH(bits, type, fetch_and)                                                    \
    ATOMIC_FETCH(bits, type, fetch_or)                                                     \
    ATOMIC_FETCH(bits, type, fetch_xor)                                                    \
    ATOMIC_FETCH(bits, type, fetch_nand)                                                   \
    ATOMIC_COMPARE(bits, type, strong)                                                     \
    ATOMIC_COMPARE(bits, type, weak)

ATOMICS(8, std::int8_t)
ATOMICS(16, std::int16_t)
ATOMICS(32, std::int32_t)
ATOMICS(64, std::int64_t)
