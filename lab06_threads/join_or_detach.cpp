// The end of a thread: somebody joins it, or it is detached. Forgetting both ends the whole program.
//
//   ./join_or_detach -d 1 -w 0.2        a thread that works for a second, and who waits how long for it
//   ./join_or_detach forget             aborts: std::terminate
//
// Look at what a join with a time limit is made of. std::thread has none: the thread tells its end by a
// future, and wait_for waits for that. A detached thread can be waited for in no other way; when main
// returns, it is cut off wherever it is. The next program, race, has ten threads that do get in each other's
// way.
#include <chrono>
#include <cstdio>
#include <exception>
#include <future>
#include <iostream>
#include <thread>

#include "options.hpp"

using seconds = std::chrono::duration<double>;

/// Starts a thread that works that long; sets `thread`, and returns the future that tells of its end.
std::future<void> start(std::thread& thread, seconds work) {
    std::packaged_task<void()> task{[work] { std::this_thread::sleep_for(work); }};
    std::future<void> end = task.get_future();
    thread = std::thread{std::move(task)};
    return end;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "dw", "[-d SECONDS] [-w SECONDS] [forget]", 0, 1};
    const seconds work{given.number('d', 1.0, 0.0, 3600.0)};
    const seconds limit{given.number('w', 0.2, 0.0, 3600.0)};
    if (!given.words.empty() && given.words[0] != "forget") given.wrong("'" + given.words[0] + "'?");
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each line at once, also into a pipe

    std::thread thread;
    std::future<void> end = start(thread, work);
    if (!given.words.empty()) return 0;  // the destructor finds the thread neither joined nor detached

    const bool ended = end.wait_for(limit) == std::future_status::ready;
    std::cout << "join, at most " << limit.count() << " s: " << (ended ? "ended" : "still running") << '\n';
    thread.join();
    std::cout << "join, no limit: ended" << '\n';

    end = start(thread, work);
    thread.detach();
    std::cout << "detached: joinable() is " << std::boolalpha << thread.joinable() << '\n';
    end.wait();
    std::cout << "detached: it has told its end itself" << '\n';
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
