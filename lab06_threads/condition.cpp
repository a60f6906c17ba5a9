// A condition variable: eaters sleep until there is a cake, a baker wakes one of them for each.
//
//   ./condition -n 3                    three eaters, ten cakes
//
// Look at the three things that belong together: the state (cakes), the mutex that every thread locks to use
// it, and the condition variable, on which a thread sleeps with the mutex unlocked. wait(lock, ready) is a
// loop: while (!ready()) wait(lock). It must be: between the waking and the locking another eater may take
// the cake, and wait may return without a reason (a spurious wake-up). multiprint_condition is yours to
// write.
#include <err.h>

#include <condition_variable>
#include <exception>
#include <iostream>
#include <mutex>
#include <syncstream>
#include <thread>
#include <vector>

#include "options.hpp"

constexpr int cakes_a_day = 10;

std::mutex kitchen;
std::condition_variable cake_or_closed;
// On the table.
int cakes = 0;
// No more will come.
bool closed = false;

void eat(int number) {
    int eaten = 0;
    while (true) {
        std::unique_lock lock{kitchen};
        cake_or_closed.wait(lock, [] { return cakes > 0 || closed; });
        if (cakes == 0) break;
        --cakes;
        ++eaten;
    }
    std::osyncstream{std::cout} << "eater " << number << ": " << eaten << '\n';
}

void close_kitchen() {
    {
        const std::lock_guard lock{kitchen};
        closed = true;
    }
    // The end concerns every eater.
    cake_or_closed.notify_all();
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n EATERS]"};
    const int count = given.number('n', 3, 1, 10'000);

    std::vector<std::jthread> eaters;
    try {
        for (int number = 1; number <= count; ++number) eaters.emplace_back(eat, number);
    } catch (...) {
        // Thread creation failed: release the others. Leaving this block joins them.
        close_kitchen();
        throw;
    }
    for (int made = 0; made < cakes_a_day; ++made) {
        {
            const std::lock_guard lock{kitchen};
            ++cakes;
        }
        // One cake is for one eater.
        cake_or_closed.notify_one();
    }
    close_kitchen();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
