// A semaphore: a pool has five things, and any number of threads may ask for one.
//
//   ./semaphore_pool -n 12 -d 0.5       twelve threads use one of the five for half a second each
//
// Look at the numbers in use: five at most; the sixth thread waits until a thing is given back. The semaphore
// counts, and makes threads wait. It does not know which thing is free: the list does, under a lock of its
// own. The next program, event, makes threads wait without counting.
#include <err.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <mutex>
#include <semaphore>
#include <string>
#include <thread>
#include <vector>

#include "log.hpp"
#include "options.hpp"

constexpr int pool_size = 5;

std::counting_semaphore<pool_size> available{pool_size};
std::mutex pool_mutex;
std::vector<int> pool{5, 4, 3, 2, 1};

void use_one(int number, std::chrono::duration<double> work) {
    const std::string name = "Thread-" + std::to_string(number);
    // This waits while none is free.
    available.acquire();
    int thing = 0;
    {
        const std::lock_guard lock{pool_mutex};
        // One is there: the semaphore has promised it.
        thing = pool.back();
        pool.pop_back();
        std::cout << name << ": takes " << thing << ", " << pool_size - pool.size() << " in use" << '\n';
    }
    std::this_thread::sleep_for(work);
    {
        const std::lock_guard lock{pool_mutex};
        pool.push_back(thing);
        std::cout << name << ": gives " << thing << ", " << pool_size - pool.size() << " in use" << '\n';
    }
    available.release();
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nd", "[-n THREADS] [-d SECONDS]"};
    const int count = given.number('n', 12, 1, 10'000);
    const std::chrono::duration<double> work{given.number('d', 0.5, 0.0, 3600.0)};
    start_log();

    std::vector<std::jthread> threads;
    for (int number = 1; number <= count; ++number) threads.emplace_back(use_one, number, work);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
