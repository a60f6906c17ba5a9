// Small programs for the explorer's own tests: ./threads NAME runs one.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <barrier>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <iostream>
#include <latch>
#include <map>
#include <mutex>
#include <queue>
#include <semaphore>
#include <shared_mutex>
#include <string>
#include <thread>

using namespace std::chrono_literals;

namespace {

void both(const std::function<void()>& one, const std::function<void()>& other) {
    std::jthread first{one};
    std::jthread second{other};
}

int counter = 0;  // the yield makes an addition two steps

void add() {
    const int read = counter;
    std::this_thread::yield();
    counter = read + 1;
}

/// Two threads add under this lock, and under nothing else.
template <typename Lock>
void counted(Lock& lock) {
    const auto work = [&lock] {
        lock.lock();
        add();
        lock.unlock();
    };
    both(work, work);
    std::cout << counter << '\n';
}

struct ticket_lock {
    std::atomic<int> next = 0;
    std::atomic<int> serving = 0;
    void lock() {
        const int mine = next++;
        for (int now; (now = serving.load()) != mine;) serving.wait(now);
    }
    void unlock() {
        ++serving;
        serving.notify_all();
    }
};

struct spinning_lock {
    std::atomic_flag taken;
    void lock() {
        while (taken.test_and_set()) continue;
    }
    void unlock() { taken.clear(); }
};

struct semaphore_lock {
    std::binary_semaphore free{1};
    void lock() { free.acquire(); }
    void unlock() { free.release(); }
};

struct posix_semaphore_lock {
    sem_t free{};
    posix_semaphore_lock() { sem_init(&free, 0, 1); }
    void lock() { sem_wait(&free); }
    void unlock() { sem_post(&free); }
};

struct spin_lock {
    pthread_spinlock_t it{};
    spin_lock() { pthread_spin_init(&it, 0); }
    void lock() { pthread_spin_lock(&it); }
    void unlock() { pthread_spin_unlock(&it); }
};

void lock_order() {
    std::mutex one;
    std::mutex other;
    both(
        [&] {
            const std::lock_guard a{one};
            const std::lock_guard b{other};
        },
        [&] {
            const std::lock_guard b{other};
            const std::lock_guard a{one};
        });
}

void scoped_lock() {
    std::mutex one;
    std::mutex other;
    both(
        [&] {
            const std::scoped_lock lock{one, other};
            add();
        },
        [&] {
            const std::scoped_lock lock{other, one};
            add();
        });
    std::cout << counter << '\n';
}

void lost_wakeup() {
    std::mutex mutex;
    std::condition_variable changed;
    std::atomic<bool> ready = false;
    both(
        [&] {
            std::unique_lock lock{mutex};
            changed.wait(lock, [&] { return ready.load(); });
        },
        [&] {
            ready = true;
            changed.notify_one();
        });  // without the mutex: between the look and the waiting
}

void if_for_while() {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
    both(
        [&] {
            std::unique_lock lock{mutex};
            if (!ready) changed.wait(lock);
            std::cout << ready << '\n';
        },
        [&] {
            const std::lock_guard lock{mutex};
            ready = true;
            changed.notify_one();
        });
}

void time_limit() {
    std::mutex mutex;
    std::condition_variable changed;
    bool ready = false;
    both(
        [&] {
            std::unique_lock lock{mutex};
            std::cout << changed.wait_for(lock, 1h, [&] { return ready; }) << '\n';
        },
        [&] {
            const std::lock_guard lock{mutex};
            ready = true;
            changed.notify_one();
        });
}

void sleeps() {
    const auto begin = std::chrono::steady_clock::now();
    both([] { std::this_thread::sleep_for(1h); }, [] { sleep(7200); });
    std::cout << (std::chrono::steady_clock::now() - begin >= 2h) << '\n';
}

void reads_while_written() {
    std::shared_mutex mutex;
    int a = 0;
    int b = 0;
    both(
        [&] {
            const std::unique_lock lock{mutex};
            ++a;
            std::this_thread::yield();
            ++b;
        },
        [&] {
            const std::shared_lock lock{mutex};
            std::cout << (a == b) << '\n';
        });
}

void meet() {
    std::latch latch{2};
    std::barrier barrier{2};
    std::atomic<int> come = 0;
    const auto work = [&] {
        ++come;
        latch.arrive_and_wait();
        barrier.arrive_and_wait();
        if (come != 2) std::cout << "early\n";
    };
    both(work, work);
}

void promises() {
    std::promise<int> promise;
    auto future = promise.get_future();
    both([&] { promise.set_value_at_thread_exit(7); }, [&] { std::cout << future.get() << '\n'; });
}

void detached() {
    std::mutex mutex;
    std::condition_variable changed;
    bool over = false;
    std::thread{[&] {
        std::unique_lock lock{mutex};
        over = true;
        std::notify_all_at_thread_exit(changed, std::move(lock));
    }}.detach();
    std::unique_lock lock{mutex};
    changed.wait(lock, [&] { return over; });
    std::cout << over << '\n';
}

void not_locked() {
    std::mutex mutex;
    mutex.unlock();
}

void pipes() {
    int ends[2];
    if (pipe(ends) != 0) return;
    char c = 0;
    both([&] { std::cout << read(ends[0], &c, 1) << '\n'; },
         [&] { std::cout << write(ends[1], "x", 1) << '\n'; });
}

void unseen() {  // the explorer cannot see who started this thread
    const auto later = [](union sigval) {
        std::mutex mutex;
        mutex.lock();
    };
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD;
    event.sigev_notify_function = later;
    timer_t timer{};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    const itimerspec soon{{0, 0}, {0, 1000}};
    timer_settime(timer, 0, &soon, nullptr);
    const timespec second{1, 0};
    syscall(SYS_nanosleep, &second, nullptr);
}

int at_namespace = 0;
thread_local int of_main = 0;

void statics() {
    static int in_function = 0;
    both(add, add);
    std::cout << counter << ++at_namespace << ++of_main << ++in_function << '\n';
}

void process() {
    both(add, add);
    std::cout << getpid() << '\n';
}

void remembers() {  // in the C library, from one run in this process to the next
    std::mutex mutex;
    const auto look = [&mutex] { const std::lock_guard lock{mutex}; };
    both(look, look);
    const char* const last = std::getenv("LAST_RUN");
    setenv("LAST_RUN", "is known", 1);
    std::cout << (last != nullptr ? "again\n" : "first\n");
}

}  // namespace

int main(int, char* argv[]) {
    std::mutex mutex;
    std::recursive_mutex recursive;
    std::timed_mutex timed;
    std::shared_mutex shared;
    ticket_lock ticket;
    spinning_lock spinning;
    semaphore_lock semaphore;
    posix_semaphore_lock posix;
    spin_lock spin;
    const std::map<std::string, std::function<void()>> programs{
        {"race",
         [] {
             both(add, add);
             std::cout << counter << '\n';
         }},
        {"mutex", [&] { counted(mutex); }},
        {"recursive", [&] { counted(recursive); }},
        {"timed", [&] { counted(timed); }},
        {"shared", [&] { counted(shared); }},
        {"ticket", [&] { counted(ticket); }},
        {"spinning", [&] { counted(spinning); }},
        {"semaphore", [&] { counted(semaphore); }},
        {"posix_semaphore", [&] { counted(posix); }},
        {"spin_lock", [&] { counted(spin); }},
        {"lock_order", lock_order},
        {"scoped_lock", scoped_lock},
        {"lost_wakeup", lost_wakeup},
        {"if_for_while", if_for_while},
        {"time_limit", time_limit},
        {"sleeps", sleeps},
        {"reads_while_written", reads_while_written},
        {"meet", meet},
        {"promises", promises},
        {"detached", detached},
        {"not_locked", not_locked},
        {"pipes", pipes},
        {"unseen", unseen},
        {"statics", statics},
        {"process", process},
        {"remembers", remembers},
    };
    programs.at(argv[1])();
}
