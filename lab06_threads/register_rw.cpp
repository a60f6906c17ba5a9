// A register that many threads read at the same time, or one writes: you type when each comes and goes.
//
//   ./register_rw
//   ann read                            (typed) ann reads, and holds the lock until she is done
//   bob write 7                         bob waits for ann, writes 7, and holds the lock until he is done
//   cat read                            cat must not overtake bob, or readers that come and go starve him
//   ann done                            ann is done; bob is next
//
// Or each argument is what one thread does: ./register_rw 'read; done' 'write 7; done'
//
// Look at > and <: the beginning and the return of a call. C++ does not say which thread gets a
// std::shared_mutex next. With glibc readers go first, and a writer may wait for ever. You write rw_lock.hpp.
// Next: queue_driver.
#include <err.h>

#include <exception>
#include <mutex>
#include <shared_mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include "options.hpp"
#include "rw_lock.hpp"
#include "thread_driver.hpp"

int value = 0;
rw_lock value_lock;

/// Carries out one call of this thread, and returns its result as text.
std::string call(const std::string& order) {
    // What this thread holds.
    thread_local std::shared_lock<rw_lock> reading;
    thread_local std::unique_lock<rw_lock> writing;
    const bool holds = reading.owns_lock() || writing.owns_lock();
    std::istringstream words{order};
    std::string name;
    words >> name;
    if (holds != (name == "done")) throw std::runtime_error{holds ? "done first" : "done with what?"};
    if (name == "read") {
        reading = std::shared_lock{value_lock};
        const int seen = value;
        // Reading takes its time.
        std::this_thread::yield();
        return std::to_string(seen);
    }
    if (name == "write") {
        writing = std::unique_lock{value_lock};
        words >> value;
        std::this_thread::yield();
        return "written";
    }
    if (name != "done") throw std::runtime_error{"no such call"};
    if (reading) reading.unlock();
    if (writing) writing.unlock();
    return "done";
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "[CALLS...]", 0, 6};
    if (given.words.empty()) drive(call);
    play(call, given.words);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
