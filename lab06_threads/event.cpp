// An event: something happens once, and all threads that wait for it go on. A later one does not wait.
//
//   ./event -n 3 -w 0.2                 three runners, a start, a runner that is late
//
// Look at the class event: a flag, a mutex, a condition variable to sleep on. wait_for gives up when its time
// is over (-w). The standard library has events without a time limit: std::latch, or std::atomic_flag with
// wait and notify_all. The next program, condition, waits for something that can come and go.
#include <err.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <iostream>
#include <mutex>
#include <syncstream>
#include <thread>
#include <vector>

#include "log.hpp"
#include "options.hpp"

using seconds = std::chrono::duration<double>;

class event {
 public:
    /// Sets the event, for ever, and wakes all threads that wait for it.
    void set() {
        {
            const std::lock_guard lock{mutex_};
            is_set_ = true;
        }
        set_.notify_all();
    }

    /// Waits until the event has been set.
    void wait() {
        std::unique_lock lock{mutex_};
        set_.wait(lock, [this] { return is_set_; });
    }

    /// Returns whether the event has been set, after waiting at most that long.
    bool wait_for(seconds limit) {
        std::unique_lock lock{mutex_};
        return set_.wait_for(lock, limit, [this] { return is_set_; });
    }

 private:
    std::mutex mutex_;
    std::condition_variable set_;
    bool is_set_ = false;
};

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nw", "[-n RUNNERS] [-w SECONDS]"};
    const int count = given.number('n', 3, 1, 10'000);
    const seconds limit{given.number('w', 0.2, 0.0, 3600.0)};
    start_log();

    event start;
    const auto run = [&start](int number) {
        start.wait();
        std::osyncstream{std::cout} << "runner " << number << ": off" << '\n';
    };
    std::vector<std::jthread> runners;
    try {
        for (int number = 1; number <= count; ++number) runners.emplace_back(run, number);
    } catch (...) {
        // Thread creation failed: release the others. Leaving this block joins them.
        start.set();
        throw;
    }

    std::cout << "waited " << limit.count() << " s: " << (start.wait_for(limit) ? "set" : "not set") << '\n';
    std::osyncstream{std::cout} << "start!" << '\n';
    start.set();
    // This joins them.
    runners.clear();
    std::cout << "waited again: " << (start.wait_for(limit) ? "set" : "not set") << '\n';
    run(count + 1);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
