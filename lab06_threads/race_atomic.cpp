// The second cure: an atomic counter. To read, add and write back is one step of the processor.
//
//   ./race_atomic                       always right; compare its nanoseconds with race_lock's
//   make tsan/race_atomic && tsan/race_atomic   and silent
//
// Look at what it cannot do: one variable in one step, no more. What takes two needs a lock: see lock_order.
// And counter = counter + 1 would be two steps, each of them atomic, and as wrong as race.
#include <err.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <exception>
#include <iostream>
#include <thread>
#include <vector>

#include "options.hpp"

constexpr int increments = 50'000;

std::atomic<int> counter = 0;

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
                // BEGIN SOLUTION: add 1 to the counter in one step.
                ++counter;
                // END SOLUTION
            }
        });
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;

    std::cout << "Expected value: " << count * increments << "\nObtained value: " << counter << '\n'
              << taken.count() / count / increments << " ns per increment\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
