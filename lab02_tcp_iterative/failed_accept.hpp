// What a server does when accept has failed: man 2 accept, "Error handling".
#pragma once

#include <err.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>

/// Tells whether the failure, by errno, concerns one client alone: the next accept may succeed at once.
inline bool is_passing_accept_error(int error) {
    return error == ECONNABORTED || error == EAGAIN || error == EINTR;
}

/// To be called when accept has returned -1. Returns at once if one client has gone. Otherwise descriptors or
/// memory are exhausted, the clients wait in the backlog, and accept would fail again at once: logs the
/// error, once for each shortage, and sleeps for a second.
inline void rest_after_failed_accept() {
    if (is_passing_accept_error(errno)) return;
    using clock = std::chrono::steady_clock;
    static std::atomic<clock::time_point> last_failure = clock::time_point{};
    const clock::time_point now = clock::now();
    if (now - last_failure.exchange(now) > std::chrono::seconds{10}) warn("accept");
    sleep(1);
}
