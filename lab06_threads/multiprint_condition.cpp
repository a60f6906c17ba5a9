// Producer and consumers by condition variable: the same, and nobody looks who has not been told to.
//
//   ./multiprint_condition -n 3           type a line; an empty line or end of file ends all
//   pidstat -w -p $(pgrep multiprint) 1   in another terminal, while nobody types: not once awake
//
// Look at the diff to multiprint_polling: to sleep, unlocked, and to be woken with the mutex locked again is
// one call. One condition variable serves the readers, who wait for characters, and the producer, who waits
// for none to be left: whoever changes the buffer cannot know whom it concerns. Next: multiprint_queue.
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
    std::condition_variable changed;  // characters or ended
    std::string characters;           // not yet taken
    bool ended = false;               // no more will come
};

/// Waits for a character and takes it; returns nothing at the end.
std::optional<char> take(work_buffer& work) {
    std::unique_lock lock{work.mutex};
    // BEGIN SOLUTION: sleep, with the mutex unlocked, until there are characters or it is the end.
    work.changed.wait(lock, [&work] { return !work.characters.empty() || work.ended; });
    // END SOLUTION
    if (work.characters.empty()) return std::nullopt;
    const char c = work.characters.front();
    work.characters.erase(0, 1);
    // BEGIN SOLUTION: wake everybody who may wait for this.
    work.changed.notify_all();
    // END SOLUTION
    return c;
}

/// Waits until the readers have taken all of the last line, and gives them the next; an empty one is the end.
void put(work_buffer& work, const std::string& line) {
    std::unique_lock lock{work.mutex};
    // BEGIN SOLUTION: sleep until the last line is taken, put in the next, wake everybody who waits for it.
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
        std::this_thread::sleep_for(time);  // as if to print were hard work
    }
    std::osyncstream{std::cout} << name << ": I'm done!" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nd", "[-n READERS] [-d SECONDS]"};
    const int count = given.number('n', 3, 1, 10'000);
    const seconds time{given.number('d', 1.0, 0.0, 3600.0)};

    work_buffer work;
    std::vector<std::jthread> readers;  // joined at the end
    try {
        for (int number = 1; number <= count; ++number)
            readers.emplace_back(print_all, std::ref(work), number, time);
    } catch (...) {
        put(work, "");  // one cannot be had: the others end now, or main would wait for them for ever
        throw;
    }
    std::string line;
    do {
        std::osyncstream{std::cout} << "Input: " << std::flush;
        if (!std::getline(std::cin, line)) line.clear();  // end of file
        put(work, line);
    } while (!line.empty());
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
