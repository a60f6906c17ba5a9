// Broken: ten threads add to one counter, unprotected, and additions get lost.
//
//   ./race                              several times: less than expected, and not always the same
//   make tsan/race && tsan/race         ThreadSanitizer says why, even when the number happens to be right
//
// Look at what one addition is: read the counter, add 1, write it back. Two threads that both read 41 both
// write 42. Each thread yields once in the middle: that loses most of the additions, on a busy machine, too.
// volatile makes the compiler read and write each time. Without these two, -O2 makes one instruction of all
// 50 000 additions: it is still a race, which shows rarely. The cures are race_lock and race_atomic.
#include <err.h>

#include <barrier>
#include <chrono>
#include <exception>
#include <iostream>
#include <thread>
#include <vector>

#include "options.hpp"

constexpr int increments = 50'000;

volatile int counter = 0;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n THREADS]"};
    const int count = given.number('n', 10, 1, 10'000);

    std::chrono::steady_clock::time_point begin;
    std::barrier start{count, [&begin]() noexcept { begin = std::chrono::steady_clock::now(); }};
    std::vector<std::thread> threads;
    for (int number = 1; number <= count; ++number)
        threads.emplace_back([&start, number] {
            // All begin together.
            start.arrive_and_wait();
            for (int i = 0; i < increments; ++i) {
                const int read = counter;
                // The scheduler may do this to any thread at any time.
                if (i == 5'000 * number - 1) std::this_thread::yield();
                counter = read + 1;
            }
        });
    for (std::thread& thread : threads) thread.join();
    const std::chrono::duration<double, std::nano> taken = std::chrono::steady_clock::now() - begin;

    std::cout << "Expected value: " << count * increments << "\nObtained value: " << counter << '\n'
              << taken.count() / count / increments << " ns per increment\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
