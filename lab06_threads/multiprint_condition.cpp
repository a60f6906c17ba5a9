// Producer and consumers by condition variable: a thread looks at the buffer only after it was woken.
//
//   ./multiprint_condition -n 3           type a line; an empty line or end of file ends all
//   pidstat -w -p $(pgrep multiprint) 1   in another terminal, while you type nothing: no switch
//
// Look at the diff to multiprint_polling: one call unlocks the mutex, sleeps, and locks it again after the
// wake-up. One condition variable serves the readers, which wait for characters, and the producer, which
// waits until none is left: a thread that changes the buffer cannot know which kind it wakes. Next:
// multiprint_queue.
#include <err.h>

#include <chrono>
#include <condition_variable>
#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <optional>
#include <string>
#include <syncstream>
#include <thread>
#include <vector>

#include "options.hpp"

using seconds = std::chrono::duration<double>;

struct work_buffer {
    std::mutex mutex;
    // Characters or ended.
    std::condition_variable changed;
    // Those not yet taken.
    std::string characters;
    // No more will come.
    bool ended = false;
};

/// Waits for a character and takes it; returns nothing at the end.
std::optional<char> take(work_buffer& work) {
    std::unique_lock lock{work.mutex};
    // BEGIN SOLUTION: sleep, with the mutex unlocked, until there are characters or no more will come.
    work.changed.wait(lock, [&work] { return !work.characters.empty() || work.ended; });
    // END SOLUTION
    if (work.characters.empty()) return std::nullopt;
    const char c = work.characters.front();
    work.characters.erase(0, 1);
    // BEGIN SOLUTION: wake all threads that may wait for this change.
    work.changed.notify_all();
    // END SOLUTION
    return c;
}

/// Waits until the readers have taken all of the last line, and gives them the next; an empty one is the end.
void put(work_buffer& work, const std::string& line) {
    std::unique_lock lock{work.mutex};
    // BEGIN SOLUTION: sleep until the last line is taken, put in the next, wake all threads that wait for it.
    work.changed.wait(lock, [&work] { return work.characters.empty(); });
    work.characters = line;
    work.ended = line.empty();
    work.changed.notify_all();
    // END SOLUTION
}

/// A reader: prints what it gets, and takes its time for each character.
void print_all(work_buffer& work, int number, seconds time) {
    const std::string name = "Thread-" + std::to_string(number);
    while (const std::optional<char> c = take(work)) {
        std::osyncstream{std::cout} << name << ": " << *c << std::endl;
        // Simulated work: as if to print took long.
        std::this_thread::sleep_for(time);
    }
    std::osyncstream{std::cout} << name << ": I'm done!" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nd", "[-n READERS] [-d SECONDS]"};
    const int count = given.number('n', 3, 1, 10'000);
    const seconds time{given.number('d', 1.0, 0.0, 3600.0)};

    work_buffer work;
    // Joined at the end of this block.
    std::vector<std::jthread> readers;
    try {
        for (int number = 1; number <= count; ++number)
            readers.emplace_back(print_all, std::ref(work), number, time);
    } catch (...) {
        // Thread creation failed: release the others. Leaving this block joins them.
        put(work, "");
        throw;
    }
    std::string line;
    do {
        std::osyncstream{std::cout} << "Input: " << std::flush;
        // At the end of file the line is empty, too.
        if (!std::getline(std::cin, line)) line.clear();
        put(work, line);
    } while (!line.empty());
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
