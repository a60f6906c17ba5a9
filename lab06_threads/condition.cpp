// A condition variable: eaters sleep until there is a cake, a baker wakes one of them for each.
//
//   ./condition -n 3                    three eaters, ten cakes
//
// Look at the three things that belong together: the state (cakes), the mutex of everybody who uses it, and
// the condition variable, on which a thread sleeps with the mutex unlocked. wait(lock, ready) is a loop:
// while (!ready()) wait(lock). It must be, since between the waking and the locking another may have
// eaten the cake, and since wait may return for no reason at all. multiprint_condition is yours to write.
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
std::condition_variable baked;
int cakes = 0;        // on the table
bool closed = false;  // no more will come

void eat(int number) {
    int eaten = 0;
    while (true) {
        std::unique_lock lock{kitchen};
        baked.wait(lock, [] { return cakes > 0 || closed; });
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
    baked.notify_all();  // this concerns everybody
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n EATERS]"};
    const int count = given.number('n', 3, 1, 10'000);

    std::vector<std::jthread> eaters;
    try {
        for (int number = 1; number <= count; ++number) eaters.emplace_back(eat, number);
    } catch (...) {
        close_kitchen();  // one cannot be had: the others end now, or main would wait for them for ever
        throw;
    }
    for (int made = 0; made < cakes_a_day; ++made) {
        {
            const std::lock_guard lock{kitchen};
            ++cakes;
        }
        baked.notify_one();  // one cake, one eater
    }
    close_kitchen();
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
