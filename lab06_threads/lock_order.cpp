// Two locks at a time: money goes from ann to bob and from bob to ann, and nobody waits for ever.
//
//   ./lock_order                        ends, and not a coin is lost
//   make tsan/lock_order && tsan/lock_order
//
// Look at transfer: it needs both accounts. One thread that holds ann's and wants bob's, another that holds
// bob's and wants ann's: both wait for ever. That takes bad luck, but ThreadSanitizer reports the two orders
// without it. The next program, semaphore_pool, lets in more than one, but not all.
#include <exception>
#include <iostream>
#include <mutex>
#include <thread>

#include "options.hpp"

constexpr int transfers = 100'000;

struct account {
    std::mutex mutex;
    int coins = 0;
};

/// Moves one coin. Afterwards the sum is what it was, and nobody can see it otherwise meanwhile.
void transfer(account& from, account& to) {
    // BEGIN SOLUTION: hold both accounts' mutexes, so that transfers in both directions cannot block each other.
    const std::scoped_lock both{from.mutex, to.mutex};
    // END SOLUTION
    --from.coins;
    ++to.coins;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};

    account ann;
    account bob;
    ann.coins = 100;
    bob.coins = 100;
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
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
