// A lock that its owner may lock again: a stock whose public functions lock, and one of them calls the
// others.
//
//   ./lock_recursive
//
// Look at the mutex that is not recursive: a thread that locks it twice waits for itself, for ever. This one
// checks for errors, and says so. The recursive one counts: it is free after the last unlock, not the first.
// Better than either: public functions that lock, and private ones that do not (blocking_queue.hpp).
#include <err.h>
#include <pthread.h>

#include <cstring>
#include <exception>
#include <iostream>
#include <mutex>
#include <thread>

#include "options.hpp"

std::recursive_mutex stock_mutex;
int apples = 10;
int pears = 10;

/// Tells whether another thread could have the stock's lock now.
void try_from_another_thread(const char* when) {
    std::thread{[when] {
        const std::unique_lock lock{stock_mutex, std::try_to_lock};
        std::cout << when << ": another thread " << (lock ? "gets" : "does not get") << " the lock\n";
    }}.join();
}

void move_apples(int by) {
    const std::lock_guard lock{stock_mutex};
    apples += by;
    try_from_another_thread("inside move_apples");
}

void move_pears(int by) {
    const std::lock_guard lock{stock_mutex};
    pears += by;
}

/// No thread may see the apples gone and the pears not yet there: the lock is held from the first step to the
/// last.
void swap_apples_for_pears(int number) {
    const std::lock_guard lock{stock_mutex};
    // Both functions lock again.
    move_apples(-number);
    try_from_another_thread("after move_apples");
    move_pears(number);
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};

    pthread_mutexattr_t checking;
    pthread_mutexattr_init(&checking);
    pthread_mutexattr_settype(&checking, PTHREAD_MUTEX_ERRORCHECK);
    pthread_mutex_t plain;
    pthread_mutex_init(&plain, &checking);
    pthread_mutex_lock(&plain);
    std::cout << "a plain mutex, locked twice: " << strerror(pthread_mutex_lock(&plain)) << '\n';
    pthread_mutex_unlock(&plain);
    std::cout << "and unlocked twice: " << strerror(pthread_mutex_unlock(&plain)) << '\n';
    pthread_mutex_destroy(&plain);
    pthread_mutexattr_destroy(&checking);

    swap_apples_for_pears(3);
    try_from_another_thread("after swap_apples_for_pears");
    std::cout << apples << " apples, " << pears << " pears\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
