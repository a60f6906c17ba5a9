// How long to wait for a reply, learned from the round trips so far: RFC 6298, the timer of TCP.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>
#include <random>

class round_trips {
 public:
    using duration = std::chrono::duration<double, std::milli>;
    // Bounds for loopback. RFC 6298 starts with one second, and waits no less.
    static constexpr duration first{100};
    static constexpr duration least{10};
    static constexpr duration most{200};

    /// Returns the time-out for the next try.
    duration timeout() const { return timeout_; }

    /// Learns from a round trip. To be called for requests that were sent once: if a request was repeated,
    /// its reply does not tell which try it answers (Karn's algorithm).
    void measured(duration trip) {
        // BEGIN SOLUTION: update the smoothed round trip and its variation, and the time-out; RFC 6298, section 2.
        if (!smoothed_) {
            smoothed_ = trip;
            variation_ = trip / 2;
        } else {
            variation_ = 0.75 * variation_ + 0.25 * std::chrono::abs(*smoothed_ - trip);
            smoothed_ = 0.875 * *smoothed_ + 0.125 * trip;
        }
        // 1 ms is the granularity of poll.
        timeout_ = std::clamp(*smoothed_ + std::max(duration{1}, 4 * variation_), least, most);
        // END SOLUTION
    }

    /// Backs off: no reply has come in time.
    void timed_out() {
        // BEGIN SOLUTION: double the time-out, up to the bound.
        timeout_ = std::min(2 * timeout_, most);
        // END SOLUTION
    }

 private:
    std::optional<duration> smoothed_;
    duration variation_{0};
    duration timeout_ = first;
};

/// Returns a wait of `timeout` to one and a half times `timeout`, at random: clients that have lost their
/// requests at the same moment do not all repeat them at the same moment (jitter).
inline round_trips::duration with_jitter(round_trips::duration timeout, std::mt19937& random) {
    // BEGIN SOLUTION: draw the factor from 1.0 to 1.5.
    timeout *= std::uniform_real_distribution{1.0, 1.5}(random);
    // END SOLUTION
    return timeout;
}
