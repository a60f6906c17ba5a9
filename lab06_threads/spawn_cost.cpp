// What it costs to start a thread and a process, in a small program and in a big one.
//
//   ./spawn_cost                        memory, microseconds for each, and the ratio of the two
//   ./spawn_cost -n 20                  quicker, and rougher
//
// Look at how the two columns grow. fork does not copy the memory that a process uses, but it copies the page
// tables; a thread needs a stack, and no more. "10 to 100 times" is true of programs of a certain size.
#include <err.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iomanip>
#include <iostream>
#include <thread>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

using microseconds = std::chrono::duration<double, std::micro>;

/// Returns the median time of `times` calls: single ones are disturbed by whatever else the machine does.
template <typename Function>
microseconds median(int times, Function start_and_wait) {
    std::vector<microseconds> taken;
    for (int i = 0; i < times; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        start_and_wait();
        taken.emplace_back(std::chrono::steady_clock::now() - begin);
    }
    std::ranges::sort(taken);
    return taken[taken.size() / 2];
}

void start_thread() {
    std::thread{[] {}}.join();
}

void start_process() {
    const pid_t child = check("fork", fork());
    if (child == 0) _exit(0);
    check("waitpid", waitpid(child, nullptr, 0));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n TIMES]"};
    const int times = given.number('n', 100, 1, 100'000);

    std::cout << std::fixed << std::setprecision(0) << "memory in use    thread      fork  ratio\n";
    for (const std::size_t mebibytes : {0U, 1U, 10U, 100U}) {
        // Written to, so the kernel has really given it.
        const std::vector<char> memory(mebibytes << 20, 'x');
        const microseconds thread = median(times, start_thread);
        const microseconds process = median(times, start_process);
        std::cout << std::setw(9) << mebibytes << " MiB" << std::setw(7) << thread.count() << " us"
                  << std::setw(7) << process.count() << " us" << std::setw(7) << process / thread
                  << std::endl;
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
