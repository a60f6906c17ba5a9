// The end of a thread: another thread joins it, or it is detached. To forget both ends the whole program.
//
//   ./join_or_detach -d 1 -w 0.2        a thread works for a second, and main waits 0.2 s at most
//   ./join_or_detach forget             aborts: std::terminate
//
// Look at how a join with a time limit is made. std::thread has none: the thread tells its end by a future,
// and wait_for waits for that. There is no other way to wait for a detached thread; when main returns, the
// thread is cut off, wherever it is. In the next program, race, ten threads disturb each other.
#include <err.h>

#include <chrono>
#include <exception>
#include <future>
#include <iostream>
#include <thread>

#include "log.hpp"
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
    start_log();

    std::thread thread;
    std::future<void> end = start(thread, work);
    // The destructor finds the thread neither joined nor detached.
    if (!given.words.empty()) return 0;

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
    errx(1, "%s", error.what());
}
