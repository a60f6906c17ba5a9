// An event: something happens once, and all who wait for it go on. Who comes later does not wait at all.
//
//   ./event -n 3 -w 0.2                 three runners, a start, a runner who is late
//
// Look at the class event: a flag, a mutex, a condition variable to sleep on. Whoever is not told in time
// gives up (-w). C++ has this ready without the time limit: std::latch, or std::atomic_flag with wait and
// notify_all. The next program, condition, waits for something that can come and go.
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <exception>
#include <iostream>
#include <mutex>
#include <syncstream>
#include <thread>
#include <vector>

#include "options.hpp"

using seconds = std::chrono::duration<double>;

class event {
 public:
    /// From now on nobody waits; wakes all who do.
    void set() {
        {
            const std::lock_guard lock{mutex_};
            is_set_ = true;
        }
        changed_.notify_all();
    }

    void wait() {
        std::unique_lock lock{mutex_};
        changed_.wait(lock, [this] { return is_set_; });
    }

    /// Returns whether the event has been set, after waiting at most that long.
    bool wait_for(seconds limit) {
        std::unique_lock lock{mutex_};
        return changed_.wait_for(lock, limit, [this] { return is_set_; });
    }

 private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool is_set_ = false;
};

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nw", "[-n RUNNERS] [-w SECONDS]"};
    const int count = given.number('n', 3, 1, 10'000);
    const seconds limit{given.number('w', 0.2, 0.0, 3600.0)};
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each line at once, also into a pipe

    event start;
    const auto run = [&start](int number) {
        start.wait();
        std::osyncstream{std::cout} << "runner " << number << ": off" << '\n';
    };
    std::vector<std::jthread> runners;
    try {
        for (int number = 1; number <= count; ++number) runners.emplace_back(run, number);
    } catch (...) {
        start.set();  // one cannot be had: the others end now, or main would wait for them for ever
        throw;
    }

    std::cout << "waited " << limit.count() << " s: " << (start.wait_for(limit) ? "set" : "not set") << '\n';
    std::osyncstream{std::cout} << "start!" << '\n';
    start.set();
    runners.clear();  // joins them
    std::cout << "waited again: " << (start.wait_for(limit) ? "set" : "not set") << '\n';
    run(count + 1);
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
