// A connection arrives: how many of the processes that wait for it are woken? One is enough; more is a
// "thundering herd". Counted from outside: a process that is woken and finds nothing to do sleeps again, and
// the kernel counts how often each process went to sleep by itself.
//
//   ./herd                       10 children, 100 connections for each way of waiting
//
// Look at accept, of which it is often said that all are woken; bytes_server waits like this. Each
// connection is made when all children sleep again.
#include <err.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "end_with_parent.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Waits until the listener is readable, in one of the ways; `epoll` is this child's own.
void wait_readable(std::string_view way, const unique_fd& listener, const unique_fd& epoll) {
    if (way == "select") {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(listener.get(), &readable);
        check("select", select(listener.get() + 1, &readable, nullptr, nullptr, nullptr));
    } else if (way == "poll") {
        pollfd watched{listener.get(), POLLIN, 0};
        check("poll", poll(&watched, 1, -1));
    } else if (way.starts_with("epoll")) {
        epoll_event event{};
        check("epoll_wait", epoll_wait(epoll.get(), &event, 1, -1));
    }
    // Otherwise accept itself waits.
}

/// What a child does: it takes connections and closes them.
[[noreturn]] void work(std::string_view way, const unique_fd& listener, pid_t parent) try {
    end_with_parent(parent);
    unique_fd epoll;
    if (way.starts_with("epoll")) {
        epoll = unique_fd{check("epoll_create1", epoll_create1(0))};
        epoll_event event{.events = EPOLLIN, .data{}};
        if (way == "epoll, EPOLLEXCLUSIVE") event.events |= EPOLLEXCLUSIVE;
        check("epoll_ctl", epoll_ctl(epoll.get(), EPOLL_CTL_ADD, listener.get(), &event));
    }
    while (true) {
        wait_readable(way, listener, epoll);
        const unique_fd connection{accept(listener.get(), nullptr, nullptr)};
        // EAGAIN: another child was faster, and this one was woken for nothing.
        if (connection.get() == -1 && errno != EAGAIN) check("accept", -1);
    }
} catch (const std::exception& error) {
    warnx("%s", error.what());
    _exit(1);
}

unique_fd make_listener(endpoint& here, bool blocking) {
    const int type = blocking ? SOCK_STREAM : SOCK_STREAM | SOCK_NONBLOCK;
    unique_fd listener{check("socket", socket(here.storage.ss_family, type, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    return listener;
}

/// Returns how often the process has gone to sleep by itself, or -1 if it is awake; proc(5).
long sleeps(pid_t pid) {
    std::ifstream status{"/proc/" + std::to_string(pid) + "/status"};
    for (std::string word; status >> word;) {
        if (word == "State:") {
            status >> word;
            // Z is a zombie.
            if (word == "Z") break;
            if (word != "S") return -1;
        }
        if (word == "voluntary_ctxt_switches:" && status >> word) return std::stol(word);
    }
    throw std::runtime_error{"a child has ended"};
}

/// Waits until all children sleep. Returns how often they have gone to sleep, all together.
long all_asleep(const std::vector<pid_t>& children) {
    long sum = 0;
    for (const pid_t pid : children) {
        long one = 0;
        while ((one = sleeps(pid)) == -1) sched_yield();
        sum += one;
    }
    return sum;
}

/// Makes a connection, which one child accepts and closes. Returns when all sleep again, how often they have.
long connect_once(const endpoint& here, const std::vector<pid_t>& children) {
    const unique_fd connection{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    check("connect", connect(connection.get(), here.get(), here.size));
    // It throws if a child has ended: then recv might wait for ever.
    all_asleep(children);
    char end = 0;
    check("recv", recv(connection.get(), &end, 1, 0));
    return all_asleep(children);
}

/// Returns how often the children were woken by `connections` connections, one after the other.
long wakeups(std::string_view way, std::size_t wanted, int connections) {
    endpoint here = resolve("127.0.0.1", 0).front();
    const bool one_each = way == "SO_REUSEPORT";
    std::vector<unique_fd> listeners;
    std::vector<pid_t> children;
    const pid_t parent = getpid();
    while (children.size() < wanted) {
        if (listeners.empty() || one_each)
            listeners.push_back(make_listener(here, one_each || way == "accept"));
        const pid_t pid = check("fork", fork());
        if (pid == 0) work(way, listeners.back(), parent);
        children.push_back(pid);
    }
    // The first connection does not count: some children were not asleep yet.
    const long before = connect_once(here, children);
    long after = before;
    for (int i = 0; i < connections; ++i) after = connect_once(here, children);
    for (const pid_t pid : children) kill(pid, SIGKILL);
    for (const pid_t pid : children) waitpid(pid, nullptr, 0);
    return after - before;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nt", "[-n CHILDREN] [-t CONNECTIONS]"};
    const auto children = static_cast<std::size_t>(given.number('n', 10, 1, 1000));
    const int connections = given.number('t', 100, 1, 100'000);
    constexpr std::array<std::string_view, 6> ways{
        "accept", "select", "poll", "epoll", "epoll, EPOLLEXCLUSIVE", "SO_REUSEPORT"};
    std::cout << children << " children, " << connections << " connections one after the other\n"
              << "waiting in                wake-ups per connection\n"
              << std::fixed << std::setprecision(2);
    for (const std::string_view way : ways)
        std::cout << std::left << std::setw(26) << way << std::right << std::setw(8)
                  << static_cast<double>(wakeups(way, children, connections)) / connections << '\n'
                  << std::flush;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
