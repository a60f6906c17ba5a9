// fork copies the thread that calls it, and no other; but it copies the locks as they are, locked or not.
//
//   ./fork_with_threads
//
// Look at the child: it has one thread, and a locked mutex, but not the thread that locked it. If it locks
// this mutex, it waits for ever. malloc and printf have locks of their own. So the child of a process with
// threads calls async-signal-safe functions only, until it calls exec; fork(2). A server forks first and
// starts threads afterwards, or never.
#include <err.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <latch>
#include <mutex>
#include <string>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

std::mutex mutex;

void tell(const std::string& process) {
    const std::filesystem::directory_iterator tasks{"/proc/self/task"};
    const auto threads = std::distance(begin(tasks), end(tasks));
    const std::unique_lock lock{mutex, std::try_to_lock};
    std::cout << process << ": " << threads << " thread" << (threads == 1 ? "" : "s") << ", the mutex is "
              << (lock ? "free" : "locked") << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    std::latch locked{1};
    std::latch end{1};
    std::jthread owner{[&] {
        const std::lock_guard lock{mutex};
        locked.count_down();
        end.wait();
    }};
    locked.wait();
    tell("parent");
    const pid_t child = check("fork", fork());
    if (child == 0) {
        tell("child");
        _exit(0);
    }
    check("waitpid", waitpid(child, nullptr, 0));
    end.count_down();
    owner.join();
    tell("parent");
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
