// What a server with one loop does when accept has failed: man 2 accept, "Error handling". It must not sleep,
// since all its clients would wait.
#pragma once

#include <err.h>

#include <cerrno>
#include <chrono>

#include "failed_accept.hpp"

/// Tells when not to watch the listener. While descriptors or memory are exhausted, the clients in the
/// backlog keep it ready, and accept fails again at once. So it rests for a second, or until a client has
/// gone.
class accept_pause {
 public:
    /// To be called when accept has returned -1. Returns false if no client waits any more, or one has gone.
    /// Otherwise the pause begins; says so, once for a shortage.
    bool accept_failed() {
        if (is_passing_accept_error(errno)) return false;
        const clock::time_point now = clock::now();
        if (now - last_failure_ > std::chrono::seconds{10}) warn("accept");
        last_failure_ = now;
        end_ = now + std::chrono::seconds{1};
        return true;
    }

    /// To be called when a connection has been closed: the pause ends.
    void descriptor_freed() { end_ = {}; }

    bool active() const { return clock::now() < end_; }

 private:
    using clock = std::chrono::steady_clock;
    clock::time_point last_failure_{};
    clock::time_point end_{};
};
