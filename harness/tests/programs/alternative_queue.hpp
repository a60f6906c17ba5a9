// Queues that are right, each in another way: ALTERNATIVE chooses. The explorer's tests put this in the place
// of the lab's blocking_queue.hpp.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <queue>
#include <semaphore>
#include <shared_mutex>
#include <stack>
#include <stdexcept>
#include <type_traits>
#include <vector>

using time_limit = std::optional<std::chrono::nanoseconds>;

/// First come, first served; a futex wakes all who wait.
struct ticket_mutex {
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

/// A semaphore for one.
struct semaphore_mutex {
    std::binary_semaphore free{1};
    void lock() { free.acquire(); }
    void unlock() { free.release(); }
};

#if ALTERNATIVE == 1  // notify after the unlock
using mutex = std::mutex;
constexpr bool early = true, one_condition = false;
#elif ALTERNATIVE == 2  // one condition, and all are woken
using mutex = std::mutex;
constexpr bool early = false, one_condition = true;
#elif ALTERNATIVE == 3
using mutex = ticket_mutex;
constexpr bool early = false, one_condition = false;
#elif ALTERNATIVE == 4
using mutex = semaphore_mutex;
constexpr bool early = false, one_condition = false;
#else
using mutex = std::shared_mutex;
#define reading std::shared_lock<mutex>
constexpr bool early = true, one_condition = false;
#endif
#ifndef reading
#define reading std::lock_guard<mutex>
#endif

template <typename Item, typename Storage>
class blocking_queue {
 public:
    explicit blocking_queue(std::size_t capacity = 0) : capacity_{capacity} {}

    bool put(Item item, time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        const auto ready = [this] { return closed_ || capacity_ == 0 || items_.size() < capacity_; };
        if (!wait(one_condition ? changed_ : room_, lock, limit, ready) || closed_) return false;
        items_.push(item);
        ++unfinished_;
        tell(changed_, lock);
        return true;
    }

    std::optional<Item> get(time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        if (!wait(changed_, lock, limit, [this] { return closed_ || !items_.empty(); }) || items_.empty())
            return std::nullopt;
        Item item;
        if constexpr (requires { items_.front(); })
            item = items_.front();
        else
            item = items_.top();
        items_.pop();
        tell(one_condition ? changed_ : room_, lock);
        return item;
    }

    void task_done() {
        std::unique_lock lock{mutex_};
        if (unfinished_ == 0) throw std::logic_error{"task_done: more often than put"};
        if (--unfinished_ != 0) return;
        if (early) lock.unlock();
        finished_.notify_all();
    }

    void join() {
        std::unique_lock lock{mutex_};
        finished_.wait(lock, [this] { return unfinished_ == 0; });
    }

    void close() {
        std::unique_lock lock{mutex_};
        closed_ = true;
        if (early) lock.unlock();
        changed_.notify_all();
        room_.notify_all();
    }

    std::size_t size() {
        const reading lock{mutex_};
        return items_.size();
    }

 private:
    using condition = std::conditional_t<std::is_same_v<mutex, std::mutex>, std::condition_variable,
                                         std::condition_variable_any>;

    template <typename Ready>
    static bool wait(condition& changed, std::unique_lock<mutex>& lock, time_limit limit, Ready ready) {
        if (limit) return changed.wait_for(lock, *limit, ready);
        changed.wait(lock, ready);
        return true;
    }

    static void tell(condition& changed, std::unique_lock<mutex>& lock) {
        if (early) lock.unlock();
        one_condition ? changed.notify_all() : changed.notify_one();
    }

    mutex mutex_;
    condition changed_;
    condition room_;
    condition finished_;
    const std::size_t capacity_;
    Storage items_;
    std::size_t unfinished_ = 0;
    bool closed_ = false;
};

template <typename Item>
using fifo_queue = blocking_queue<Item, std::queue<Item>>;
template <typename Item>
using lifo_queue = blocking_queue<Item, std::stack<Item>>;
template <typename Item>
using priority_queue = blocking_queue<Item, std::priority_queue<Item, std::vector<Item>, std::greater<>>>;
