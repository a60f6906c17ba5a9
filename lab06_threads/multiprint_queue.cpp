// Producer and consumers by a queue that waits by itself: nothing here locks, sleeps or wakes.
//
//   ./multiprint_queue -n 3             type a line; an empty line or end of file ends all
//
// Look at the diff to multiprint_condition: what was there is in blocking_queue.hpp now, once for all
// programs. join returns when each character that was put has been reported as done: printed, not only taken.
// The queue's own programs are queue_driver, which has it do what you type, and queue_load.
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
    // BEGIN SOLUTION: print and report as done one character after the other, until the queue is closed and empty.
    while (const std::optional<char> c = characters.get()) {
        std::osyncstream{std::cout} << name << ": " << *c << std::endl;
        std::this_thread::sleep_for(time);  // as if to print were hard work
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
    std::vector<std::jthread> readers;  // joined at the end
    try {
        for (int number = 1; number <= count; ++number)
            readers.emplace_back(print_all, std::ref(characters), number, time);
    } catch (...) {
        characters.close();  // one cannot be had: the others end now, or main would wait for them for ever
        throw;
    }
    std::string line;
    do {
        std::osyncstream{std::cout} << "Input: " << std::flush;
        if (!std::getline(std::cin, line)) line.clear();  // end of file
        characters.join();                                // the last line is printed
        for (const char c : line) characters.put(c);
    } while (!line.empty());
    // BEGIN SOLUTION: let the readers know that no more will come.
    characters.close();
    // END SOLUTION
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
