// Preloaded into a judged program (LD_PRELOAD), this makes rare but allowed behaviour of the kernel happen
// every time. Each FAULT_NAME in the environment is a number:
//   FAULT_SEND   send, write, writev and sendmsg to a socket take at most so many bytes a call; then there is
//                room again
//   FAULT_SENDFILE   so does sendfile
//   FAULT_RECV   recv and read from a socket deliver at most so many bytes a call
//   FAULT_FORK   not 0: a SIGCHLD comes at the moment when a fork fails; so does FAULT_NTH_FORK
//   FAULT_CHILD  the first so many children are killed as soon as they are forked; each says so on stderr
//   FAULT_HELD   not 0: the first child stops (SIGSTOP) as soon as it is forked
//   FAULT_BOUND  not 0: the process stops (SIGSTOP) as soon as it has bound a socket to a port
//   FAULT_PASS   not 0: the first sendmsg that passes a descriptor stops the process (SIGSTOP) before it does
//   FAULT_BARE   not 0: the first sendmsg that passes a descriptor goes without it
//   FAULT_ABORTED    the so-many-th client has gone when it is accepted: its accept fails with ECONNABORTED
//   FAULT_FILES  so many files are open when the program begins: it has inherited them
//   FAULT_EARLY  not 0: SIGUSR1 comes as soon as a handler for it is there
//   FAULT_GROUP  not 0: a kill that reaches others of the group in which it was started says so on stderr
//   FAULT_DYING  the first so many waitpid that must not wait come too early: the child has closed its files
//                and not ended yet. Only while nobody asks for SIGCHLD, which comes at the end
//   FAULT_SELECT the first select fails with EINTR, and at that moment SIGUSR1 comes so many times
//   FAULT_CLOSE  not 0: a close of a descriptor that is not open says so on stderr
//   FAULT_NAMES  getaddrinfo gives so many addresses before those of a name: 127.0.0.2, 127.0.0.3, …
//   FAULT_SIX    not 0: getaddrinfo gives ff02::1 before those of a name, and TCP connects to nobody there;
//                not if it is asked for the families alone that this machine has (AI_ADDRCONFIG)
//                2: and the kernel has no IPv6; 3: instead it gives ::1, where a server may be
//   FAULT_UNSENT the so-many-th datagram to an address fails with EPERM, as if a firewall dropped it
//   FAULT_TIME   the time of day begins at so many seconds after the epoch
//   FAULT_EINTR  accept, recv, read and send on a socket fail with EINTR on every so-many-th call
// Calls that fail because the kernel lacks something are unotify.py's.
// FAULT_COUNTS names a file, shared with the harness, in which it counts what it has done. All of this has
// gone from the environment when the program's own code begins.
// g++ -std=c++20 -shared -fPIC -o faults.so faults.cpp
#include <arpa/inet.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "shared_counts.hpp"

namespace {
// The order is that of COUNTS in faults.py.
enum count : std::size_t {
    loaded,
    cut_sends,
    cut_sendfiles,
    cut_recvs,
    killed_children,
    stopped_passes,
    bare_passes,
    aborted_accepts,
    inherited_files,
    early_signals,
    seen_kills,
    early_waits,
    interrupted_selects,
    interruptions,
    seen_closes,
    sent_bytes,
    begun_threads,
    taken_locks,
    longer_lists,
    told_times,
    given_six,
    held_children,
    stopped_binds,
    refused_datagrams,
    all_counts
};
std::atomic<std::uint64_t> own_counts[all_counts];

std::atomic<std::uint64_t>* const counts = shared_counts("FAULT_COUNTS", own_counts, sizeof own_counts);

long fault(const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr ? 0 : std::atol(text);
}

const long send_limit = fault("FAULT_SEND");
std::atomic<long> datagrams_until_one_fails = fault("FAULT_UNSENT");
const long sendfile_limit = fault("FAULT_SENDFILE");
const long recv_limit = fault("FAULT_RECV");
const long eintr_every = fault("FAULT_EINTR");
const long more_addresses = fault("FAULT_NAMES");
const long six = fault("FAULT_SIX");
const time_t begins_at = fault("FAULT_TIME");
const bool tells_of_bad_close = fault("FAULT_CLOSE") != 0;
std::atomic<long> waits_too_early = fault("FAULT_DYING");
const bool tells_of_group = fault("FAULT_GROUP") != 0;
std::atomic<bool> has_own_group = false;
std::atomic<long> accepted_until_one_has_gone = fault("FAULT_ABORTED");
const bool forks_fail = fault("FAULT_FORK") != 0 || fault("FAULT_NTH_FORK") != 0;
std::atomic<long> children_to_kill = fault("FAULT_CHILD");
std::atomic<bool> holds_child = fault("FAULT_HELD") != 0;
std::atomic<bool> stops_when_bound = fault("FAULT_BOUND") != 0;
std::atomic<bool> stops_before_passing = fault("FAULT_PASS") != 0;
std::atomic<bool> forgets_descriptor = fault("FAULT_BARE") != 0;
std::atomic<bool> signal_is_early = fault("FAULT_EARLY") != 0;
std::atomic<long> signals_in_select = fault("FAULT_SELECT");
std::atomic<long> calls = 0;

/// Opens the files that the program would have inherited.
const bool inherits = [] {
    for (long left = fault("FAULT_FILES"); left > 0; --left)
        if (open("/dev/null", O_RDWR) != -1) ++counts[inherited_files];
    return true;
}();

/// Takes these variables out of the environment, and out of what /proc shows of it.
const bool hidden = [] {
    for (char** entry = environ; *entry != nullptr;) {
        if (std::strncmp(*entry, "FAULT_", 6) == 0) {
            std::memset(*entry, 0, std::strlen(*entry));
            for (char** rest = entry; *rest != nullptr; ++rest) *rest = rest[1];
        } else {
            ++entry;
        }
    }
    ++counts[loaded];
    return true;
}();

template <typename Function>
Function* next(const char* name) {
    return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

bool is_socket(int fd) {
    struct stat status {};
    const int saved = errno;
    const bool answer = fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode);
    errno = saved;
    return answer;
}

// By descriptor: the epoll that watches it, and for what.
struct watching {
    int epoll = -1;
    epoll_event event{};
};
std::array<watching, 1024> watched;

/// There is room again: who waits for it by edges hears of it. The kernel itself has no news.
void tell_of_room(int fd) {
    static const auto real = next<decltype(::epoll_ctl)>("epoll_ctl");
    if (static_cast<std::size_t>(fd) >= watched.size() || watched[fd].epoll == -1) return;
    real(watched[fd].epoll, EPOLL_CTL_MOD, fd, &watched[fd].event);
}

/// Whether the program takes SIGCHLD: by a handler, or blocked, for sigwaitinfo or a signalfd.
bool hears_of_death() {
    struct sigaction action {};
    sigset_t blocked;
    sigaction(SIGCHLD, nullptr, &action);
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    return action.sa_handler != SIG_DFL || sigismember(&blocked, SIGCHLD) == 1;
}

bool interrupted(int fd) {
    if (eintr_every == 0 || !is_socket(fd) || ++calls % eintr_every != 0) return false;
    ++counts[interruptions];
    errno = EINTR;
    return true;
}

/// Returns the connection, or fails if its client is the one that has gone meanwhile.
int unless_gone(int connection) {
    if (connection == -1 || --accepted_until_one_has_gone != 0) return connection;
    close(connection);
    ++counts[aborted_accepts];
    errno = ECONNABORTED;
    return -1;
}

size_t limited(int fd, size_t size, long limit, count what) {
    if (limit <= 0 || size <= static_cast<size_t>(limit) || !is_socket(fd)) return size;
    ++counts[what];
    return static_cast<size_t>(limit);
}

ssize_t told(int fd, ssize_t sent) {
    if (sent <= 0 || send_limit <= 0 || !is_socket(fd)) return sent;
    counts[sent_bytes] += static_cast<std::uint64_t>(sent);
    if (sent == send_limit) tell_of_room(fd);
    return sent;
}

/// Puts an address before the others, in one block, as the library makes it: its freeaddrinfo frees it.
template <typename Address>
bool put_before(addrinfo** list, const addrinfo& like, int family, const Address& address) {
    void* const block = std::malloc(sizeof(addrinfo) + sizeof address);
    if (block == nullptr) return false;
    auto* const entry = static_cast<addrinfo*>(block);
    std::memcpy(entry + 1, &address, sizeof address);
    *entry = like;
    entry->ai_family = family;
    entry->ai_addr = reinterpret_cast<sockaddr*>(entry + 1);
    entry->ai_addrlen = sizeof address;
    entry->ai_canonname = nullptr;
    entry->ai_next = *list;
    *list = entry;
    return true;
}

/// How many seconds the time of day is to differ from the clock's.
time_t shift(const timespec& clock) {
    static const time_t begin = clock.tv_sec;
    ++counts[told_times];
    return begins_at - begin;
}

/// Whether this datagram is the one that a firewall drops.
bool dropped() {
    if (datagrams_until_one_fails == 0 || --datagrams_until_one_fails != 0) return false;
    ++counts[refused_datagrams];
    errno = EPERM;
    return true;
}
}  // namespace

extern "C" {
int clock_gettime(clockid_t clock, timespec* now) noexcept {
    static const auto real = next<decltype(::clock_gettime)>("clock_gettime");
    const int result = real(clock, now);
    if (begins_at != 0 && result == 0 && clock == CLOCK_REALTIME) now->tv_sec += shift(*now);
    return result;
}

time_t time(time_t* place) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    if (place != nullptr) *place = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(timeval* place, void*) noexcept {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    *place = {.tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000};
    return 0;
}

ssize_t send(int fd, const void* data, size_t size, int flags) {
    static const auto real = next<decltype(::send)>("send");
    if (interrupted(fd)) return -1;
    return told(fd, real(fd, data, limited(fd, size, send_limit, cut_sends), flags));
}

ssize_t write(int fd, const void* data, size_t size) {
    static const auto real = next<decltype(::write)>("write");
    if (interrupted(fd)) return -1;
    return told(fd, real(fd, data, limited(fd, size, send_limit, cut_sends)));
}

ssize_t writev(int fd, const iovec* parts, int count) {
    static const auto real = next<decltype(::writev)>("writev");
    if (send_limit == 0 || count == 0 || !is_socket(fd)) return real(fd, parts, count);
    return write(fd, parts[0].iov_base, parts[0].iov_len);
}

ssize_t sendmsg(int fd, const msghdr* message, int flags) {
    static const auto real = next<decltype(::sendmsg)>("sendmsg");
    if (message->msg_name != nullptr && dropped()) return -1;
    if (message->msg_controllen != 0 && stops_before_passing.exchange(false)) {
        ++counts[stopped_passes];
        raise(SIGSTOP);
    }
    if (message->msg_controllen != 0 && forgets_descriptor.exchange(false)) {
        ++counts[bare_passes];
        msghdr bare = *message;
        bare.msg_control = nullptr;
        bare.msg_controllen = 0;
        return real(fd, &bare, flags);
    }
    if (send_limit == 0 || message->msg_iovlen == 0 || message->msg_controllen != 0 || !is_socket(fd))
        return real(fd, message, flags);
    return send(fd, message->msg_iov[0].iov_base, message->msg_iov[0].iov_len, flags);
}

ssize_t sendto(int fd, const void* data, size_t size, int flags, const sockaddr* to, socklen_t to_size) {
    static const auto real = next<decltype(::sendto)>("sendto");
    if (to != nullptr && dropped()) return -1;
    return to == nullptr ? send(fd, data, size, flags) : real(fd, data, size, flags, to, to_size);
}

ssize_t sendfile(int to, int from, off_t* offset, size_t size) {
    static const auto real = next<decltype(::sendfile)>("sendfile");
    return real(to, from, offset, limited(to, size, sendfile_limit, cut_sendfiles));
}

ssize_t recv(int fd, void* data, size_t size, int flags) {
    static const auto real = next<decltype(::recv)>("recv");
    return interrupted(fd) ? -1 : real(fd, data, limited(fd, size, recv_limit, cut_recvs), flags);
}

ssize_t read(int fd, void* data, size_t size) {
    static const auto real = next<decltype(::read)>("read");
    return interrupted(fd) ? -1 : real(fd, data, limited(fd, size, recv_limit, cut_recvs));
}

int close(int fd) {
    static const auto real = next<decltype(::close)>("close");
    const int result = real(fd);
    // shared_counts itself closes a file, before there are counts.
    if (counts != nullptr) ++counts[seen_closes];
    if (result == -1 && errno == EBADF && tells_of_bad_close) {
        static constexpr char line[] = "close: Bad file descriptor\n";
        [[maybe_unused]] const auto written = write(STDERR_FILENO, line, sizeof line - 1);
        errno = EBADF;
    }
    return result;
}

int accept(int fd, sockaddr* address, socklen_t* size) {
    static const auto real = next<decltype(::accept)>("accept");
    return interrupted(fd) ? -1 : unless_gone(real(fd, address, size));
}

int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    static const auto real = next<decltype(::accept4)>("accept4");
    return interrupted(fd) ? -1 : unless_gone(real(fd, address, size, flags));
}

int epoll_ctl(int epoll, int operation, int fd, epoll_event* event) noexcept {
    static const auto real = next<decltype(::epoll_ctl)>("epoll_ctl");
    const int result = real(epoll, operation, fd, event);
    if (result == -1 || static_cast<std::size_t>(fd) >= watched.size()) return result;
    watched[fd] = operation == EPOLL_CTL_DEL ? watching{} : watching{epoll, *event};
    return result;
}

pid_t waitpid(pid_t pid, int* status, int options) {
    static const auto real = next<decltype(::waitpid)>("waitpid");
    if (pid > 0 && (options & WNOHANG) != 0 && !hears_of_death() && waits_too_early-- > 0)
        return ++counts[early_waits], 0;
    return real(pid, status, options);
}

int kill(pid_t pid, int number) noexcept {
    static const auto real = next<decltype(::kill)>("kill");
    ++counts[seen_kills];
    if (tells_of_group && number != 0 && (pid == 0 || pid < -1) && !has_own_group) {
        static constexpr char line[] = "kill: it reaches the whole process group\n";
        [[maybe_unused]] const auto written = write(STDERR_FILENO, line, sizeof line - 1);
    }
    return real(pid, number);
}

int killpg(pid_t group, int number) noexcept {
    return kill(-group, number);
}

int setpgid(pid_t pid, pid_t group) noexcept {
    static const auto real = next<decltype(::setpgid)>("setpgid");
    has_own_group = true;
    return real(pid, group);
}

int sigaction(int number, const struct sigaction* action, struct sigaction* old) noexcept {
    static const auto real = next<decltype(::sigaction)>("sigaction");
    const int result = real(number, action, old);
    const bool handled = number == SIGUSR1 && action != nullptr && action->sa_handler != SIG_DFL &&
                         action->sa_handler != SIG_IGN;
    if (result == -1 || !handled || !signal_is_early.exchange(false)) return result;
    ++counts[early_signals];
    raise(SIGUSR1);
    return result;
}

sighandler_t signal(int number, sighandler_t handler) noexcept {
    struct sigaction action {};
    struct sigaction old {};
    action.sa_handler = handler;
    action.sa_flags = SA_RESTART;
    return sigaction(number, &action, &old) == -1 ? SIG_ERR : old.sa_handler;
}

int select(int count, fd_set* readable, fd_set* writable, fd_set* exceptional, timeval* patience) {
    static const auto real = next<decltype(::select)>("select");
    if (signals_in_select == 0) return real(count, readable, writable, exceptional, patience);
    ++counts[interrupted_selects];
    errno = EINTR;
    for (; signals_in_select > 0; --signals_in_select)
        raise(SIGUSR1);  // each is handled before the next comes
    return -1;           // now the caller looks at errno
}

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*function)(void*),
                   void* argument) {
    static const auto real = next<decltype(::pthread_create)>("pthread_create");
    ++counts[begun_threads];
    return real(thread, attributes, function, argument);
}

int pthread_mutex_lock(pthread_mutex_t* mutex) {
    static const auto real = next<decltype(::pthread_mutex_lock)>("pthread_mutex_lock");
    const int refused = real(mutex);
    if (refused == 0) ++counts[taken_locks];
    return refused;
}

int pthread_mutex_trylock(pthread_mutex_t* mutex) {
    static const auto real = next<decltype(::pthread_mutex_trylock)>("pthread_mutex_trylock");
    const int refused = real(mutex);
    if (refused == 0) ++counts[taken_locks];
    return refused;
}

int getaddrinfo(const char* host, const char* service, const addrinfo* hints, addrinfo** list) {
    static const auto real = next<decltype(::getaddrinfo)>("getaddrinfo");
    const int failed = real(host, service, hints, list);
    in_addr number;
    if (failed != 0 || host == nullptr || inet_pton(AF_INET, host, &number) == 1) return failed;
    const addrinfo* old = *list;
    while (old != nullptr && old->ai_family != AF_INET) old = old->ai_next;
    if (old == nullptr) return failed;
    sockaddr_in address = *reinterpret_cast<const sockaddr_in*>(old->ai_addr);
    for (long more = more_addresses; more > 0; --more) {
        address.sin_addr.s_addr = htonl(static_cast<in_addr_t>(INADDR_LOOPBACK + more));
        if (!put_before(list, *old, AF_INET, address)) break;
        ++counts[longer_lists];
    }
    sockaddr_in6 nobody{};
    nobody.sin6_family = AF_INET6;
    nobody.sin6_port = address.sin_port;
    inet_pton(AF_INET6, six == 3 ? "::1" : "ff02::1", &nobody.sin6_addr);
    const bool six_too = six == 3 || hints == nullptr || (hints->ai_flags & AI_ADDRCONFIG) == 0;
    if (six != 0 && six_too && put_before(list, *old, AF_INET6, nobody)) ++counts[given_six];
    return failed;
}

int socket(int family, int type, int protocol) {
    static const auto real = next<decltype(::socket)>("socket");
    if (six != 2 || family != AF_INET6) return real(family, type, protocol);
    errno = EAFNOSUPPORT;
    return -1;
}

int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
    static const auto real = next<decltype(::bind)>("bind");
    const int result = real(fd, address, size);
    const bool has_port = address->sa_family == AF_INET || address->sa_family == AF_INET6;
    if (result == 0 && has_port && stops_when_bound.exchange(false)) {
        ++counts[stopped_binds];
        raise(SIGSTOP);
    }
    return result;
}

pid_t fork() {
    static const auto real = next<decltype(::fork)>("fork");
    const bool is_killed = children_to_kill > 0 && children_to_kill-- > 0;
    const bool is_held = holds_child.exchange(false);
    const pid_t child = real();
    if (child == -1 && forks_fail) {
        sigset_t blocked;
        sigprocmask(SIG_BLOCK, nullptr, &blocked);
        // Between the call and the caller's look at errno. Blocked, it would only be news of a death that is
        // none.
        if (sigismember(&blocked, SIGCHLD) == 0) raise(SIGCHLD);
    }
    if (child == 0 && is_killed) {
        ++counts[killed_children];
        [[maybe_unused]] const auto written = write(STDERR_FILENO, "a child is killed\n", 18);
        raise(SIGKILL);
    }
    if (child == 0 && is_held) {
        ++counts[held_children];
        raise(SIGSTOP);
    }
    return child;
}
}
