// The first cure: a lock. A thread that adds holds the mutex from the reading to the writing back.
//
//   ./race_lock                         always right; compare its nanoseconds with race's
//   make tsan/race_lock && tsan/race_lock   and silent
//
// Look at the price: most of it is threads that go to sleep and are woken. race_atomic is the other cure.
#include <err.h>

#include <barrier>
#include <chrono>
#include <exception>
#include <iostream>
#include <mutex>
#include <thread>
#include <vector>

#include "options.hpp"

constexpr int increments = 50'000;

int counter = 0;
// Each thread that uses the counter holds this.
std::mutex counter_mutex;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n THREADS]"};
    const int count = given.number('n', 10, 1, 10'000);

    std::chrono::steady_clock::time_point begin;
    std::barrier start{count, [&begin]() noexcept { begin = std::chrono::steady_clock::now(); }};
    std::vector<std::thread> threads;
    for (int number = 1; number <= count; ++number)
        threads.emplace_back([&start] {
            // All begin together.
            start.arrive_and_wait();
            for (int i = 0; i < increments; ++i) {
                // BEGIN SOLUTION: let one thread at a time read, add and write.
                const std::lock_guard lock{counter_mutex};
                // END SOLUTION
                counter = counter + 1;
            }
        });
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;

    std::cout << "Expected value: " << count * increments << "\nObtained value: " << counter << '\n'
              << taken.count() / count / increments << " ns per increment\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
