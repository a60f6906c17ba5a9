// Producer and consumers by a queue: nothing here locks, sleeps or wakes, since the queue does.
//
//   ./multiprint_queue -n 3             type a line; an empty line or end of file ends all
//
// Look at the diff to multiprint_condition: what was there is in blocking_queue.hpp now, for all programs.
// join returns when each character that was put has been reported as done: printed, not only taken. The
// queue's own programs are queue_driver, in which you type what threads do with it, and queue_load.
#include <err.h>

#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <string>
#include <syncstream>
#include <thread>
#include <vector>

#include "blocking_queue.hpp"
#include "options.hpp"

using seconds = std::chrono::duration<double>;

/// A reader: prints what it gets, and takes its time for each character.
void print_all(fifo_queue<char>& characters, int number, seconds time) {
    const std::string name = "Thread-" + std::to_string(number);
    // BEGIN SOLUTION: print one character after the other, and report each as done, until the queue gives none.
    while (const std::optional<char> c = characters.get()) {
        std::osyncstream{std::cout} << name << ": " << *c << std::endl;
        // Simulated work: as if to print took long.
        std::this_thread::sleep_for(time);
        characters.task_done();
    }
    // END SOLUTION
    std::osyncstream{std::cout} << name << ": I'm done!" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nd", "[-n READERS] [-d SECONDS]"};
    const int count = given.number('n', 3, 1, 10'000);
    const seconds time{given.number('d', 1.0, 0.0, 3600.0)};

    fifo_queue<char> characters;
    // Joined at the end of this block.
    std::vector<std::jthread> readers;
    try {
        for (int number = 1; number <= count; ++number)
            readers.emplace_back(print_all, std::ref(characters), number, time);
    } catch (...) {
        // Thread creation failed: release the others. Leaving this block joins them.
        characters.close();
        throw;
    }
    std::string line;
    do {
        std::osyncstream{std::cout} << "Input: " << std::flush;
        // At the end of file the line is empty, too.
        if (!std::getline(std::cin, line)) line.clear();
        // Wait until the last line is printed.
        characters.join();
        for (const char c : line) characters.put(c);
    } while (!line.empty());
    // BEGIN SOLUTION: tell the readers that no more will come.
    characters.close();
    // END SOLUTION
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
