// One thread writes a message and then sets a flag; another waits for the flag and then reads the message.
//
//   make tsan/publish
//   tsan/publish release                silent: the message is whole when the flag is seen
//   tsan/publish relaxed                a data race: nothing orders the message and the flag
//
// Look at the two memory orders. A release store and the acquire load that sees its value put in order what
// came before the one and what comes after the other: the write happens before the read. A relaxed flag is
// atomic, too, but promises this of nothing else. Without an order given, C++'s atomics do more than release
// and acquire.
#include <err.h>

#include <atomic>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

#include "options.hpp"

// Not atomic: the flag has to protect it.
std::string message;
std::atomic<bool> ready = false;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "release|relaxed", 1, 1};
    const bool ordered = given.words[0] == "release";
    if (!ordered && given.words[0] != "relaxed") given.wrong("'" + given.words[0] + "'?");

    std::thread writer{[ordered] {
        message = "the whole message";
        if (ordered)
            ready.store(true, std::memory_order_release);
        else
            ready.store(true, std::memory_order_relaxed);
    }};
    std::thread reader{[ordered] {
        const std::memory_order order = ordered ? std::memory_order_acquire : std::memory_order_relaxed;
        while (!ready.load(order)) std::this_thread::yield();
        std::cout << message << '\n';
    }};
    writer.join();
    reader.join();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
