// Producer and consumers by lock and sleep: a line is typed, several readers print its characters.
//
//   ./multiprint_polling -n 3           type a line; an empty line or end of file ends all
//   pidstat -w -p $(pgrep multiprint) 1 in another terminal, while you type nothing: many switches
//
// Look at take and put: a thread that finds nothing to do unlocks, sleeps a little and looks again. If it
// slept with the mutex locked, no other thread could change anything. A short sleep wastes CPU time, a long
// one makes the reader late: multiprint_condition, the next program, needs no sleep.
#include <err.h>

#include <chrono>
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

constexpr std::chrono::milliseconds pause_between_looks{20};

struct work_buffer {
    std::mutex mutex;
    // Those not yet taken.
    std::string characters;
    // No more will come.
    bool ended = false;
};

/// Waits for a character and takes it; returns nothing at the end.
std::optional<char> take(work_buffer& work) {
    std::unique_lock lock{work.mutex};
    while (work.characters.empty() && !work.ended) {
        // Another thread must be able to change what this one waits for.
        lock.unlock();
        std::this_thread::sleep_for(pause_between_looks);
        lock.lock();
    }
    if (work.characters.empty()) return std::nullopt;
    const char c = work.characters.front();
    work.characters.erase(0, 1);
    return c;
}

/// Waits until the readers have taken all of the last line, and gives them the next; an empty one is the end.
void put(work_buffer& work, const std::string& line) {
    std::unique_lock lock{work.mutex};
    while (!work.characters.empty()) {
        lock.unlock();
        std::this_thread::sleep_for(pause_between_looks);
        lock.lock();
    }
    work.characters = line;
    work.ended = line.empty();
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
