// Two locks at a time: money goes from ann to bob and from bob to ann, and no thread waits for ever.
//
//   ./lock_order                        ends, and no coin is lost
//   make tsan/lock_order && tsan/lock_order
//
// Look at transfer: it locks both accounts. If one thread holds ann's and wants bob's, and another holds
// bob's and wants ann's, both wait for ever: a deadlock. That needs bad luck. But ThreadSanitizer reports the
// two orders even without a deadlock, with the line of each lock. The next program, semaphore_pool, lets in
// more than one thread, but not all.
#include <err.h>

#include <exception>
#include <iostream>
#include <mutex>
#include <thread>
#include <utility>

#include "options.hpp"

constexpr int transfers = 100'000;

struct account {
    // Each account has its place in the order of all accounts.
    int number;
    int coins;
    std::mutex mutex{};
};

/// Moves one coin. Afterwards the sum is what it was, and no thread can see another sum meanwhile.
void transfer(account& from, account& to) {
    account* first = &from;
    account* second = &to;
    // BEGIN SOLUTION: see to it that all threads lock the accounts in the same order.
    if (second->number < first->number) std::swap(first, second);
    // END SOLUTION
    const std::lock_guard lock_first{first->mutex};
    const std::lock_guard lock_second{second->mutex};
    --from.coins;
    ++to.coins;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};

    account ann{.number = 1, .coins = 100};
    account bob{.number = 2, .coins = 100};
    std::thread there{[&ann, &bob] {
        for (int i = 0; i < transfers; ++i) transfer(ann, bob);
    }};
    std::thread back{[&ann, &bob] {
        for (int i = 0; i < transfers; ++i) transfer(bob, ann);
    }};
    there.join();
    back.join();
    std::cout << "ann " << ann.coins << ", bob " << bob.coins << '\n';
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
