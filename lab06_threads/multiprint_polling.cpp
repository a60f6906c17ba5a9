// Producer and consumers by lock and sleep: a line is typed, several readers print its characters.
//
//   ./multiprint_polling -n 3           type a line; an empty line or end of file ends all
//   pidstat -w -p $(pgrep multiprint) 1 in another terminal, while nobody types: it is awake all the time
//
// Look at take and put: who finds nothing to do unlocks, sleeps a little and looks again. With the mutex held
// while it sleeps nobody could change anything. A short sleep wastes the processor, a long one time:
// multiprint_condition, the next program, needs no sleep.
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
    std::string characters;  // not yet taken
    bool ended = false;      // no more will come
};

/// Waits for a character and takes it; returns nothing at the end.
std::optional<char> take(work_buffer& work) {
    std::unique_lock lock{work.mutex};
    while (work.characters.empty() && !work.ended) {
        lock.unlock();  // so that somebody can change what we wait for
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
