// Broken: two threads write one variable, and the race shows only if they come in one of the two orders.
//
//   make tsan/race_lucky
//   tsan/race_lucky ann bob             ann first: ThreadSanitizer reports nothing
//   tsan/race_lucky bob ann             bob first: it reports a data race
//
// Look at the lock between the two writes. ann writes and then locks, bob locks and then writes. If ann comes
// first, her unlock happens before his lock, and so her write before his. If bob comes first, nothing orders
// the writes. ThreadSanitizer judges the order that it saw: no report is no proof.
#include <err.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <latch>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "options.hpp"

int value = 0;
std::mutex mutex;

void visit_mutex() {
    const std::lock_guard lock{mutex};
}

void ann() {
    value = 1;
    visit_mutex();
}

void bob() {
    visit_mutex();
    value = 2;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "ann|bob bob|ann", 2, 2};
    const std::map<std::string, void (*)()> functions{{"ann", ann}, {"bob", bob}};
    for (const std::string& word : given.words)
        if (!functions.contains(word)) given.wrong("'" + word + "'?");

    // Both threads are started before either begins, so the start puts them in no order.
    std::latch started{2};
    std::thread first{[&] {
        started.arrive_and_wait();
        functions.at(given.words[0])();
    }};
    std::thread second{[&] {
        started.arrive_and_wait();
        // Long enough for the first one. ThreadSanitizer takes no order from the clock.
        std::this_thread::sleep_for(std::chrono::milliseconds{200});
        functions.at(given.words[1])();
    }};
    first.join();
    second.join();
    std::cout << "value " << value << '\n';
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
