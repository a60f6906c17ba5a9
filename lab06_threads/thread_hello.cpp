// Threads of one process: what they share, and what each has for itself.
//
//   ./thread_hello -n 3                 prints a line a thread; Enter (or end of file) ends the program
//   ps -L -o pid,lwp,comm -C thread_hello   in another terminal, before that: one process, four threads
//
// Look at the numbers: one PID and one global for all; a thread ID, an errno and a local variable (that is, a
// stack) for each. The next program, join_or_detach, is about their end.
#include <err.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <exception>
#include <iostream>
#include <latch>
#include <string>
#include <syncstream>
#include <thread>
#include <vector>

#include "options.hpp"

int global = 0;

void hello(const std::string& name, std::latch& all_said, std::latch& end) {
    // Best effort: at most 15 bytes; ps and top show it.
    pthread_setname_np(pthread_self(), name.c_str());
    int local = 0;
    std::osyncstream{std::cout} << name << ": process " << getpid() << ", thread " << gettid()
                                << ", global at " << &global << ", local at " << &local << ", errno at "
                                << &errno << '\n';
    all_said.count_down();
    end.wait();
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n THREADS]"};
    const int count = given.number('n', 3, 1, 1000);

    std::latch all_said{count};
    std::latch end{1};
    // The destructor of a jthread joins: main waits at the end of this block for all of them.
    std::vector<std::jthread> threads;
    try {
        for (int number = 1; number <= count; ++number)
            threads.emplace_back(hello, "hello-" + std::to_string(number), std::ref(all_said), std::ref(end));
    } catch (...) {
        // Thread creation failed: release the others. Leaving this block joins them.
        end.count_down();
        throw;
    }
    all_said.wait();
    std::cout << "Enter ends them all\n" << std::flush;
    std::cin.get();
    end.count_down();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
