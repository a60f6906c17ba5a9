// A queue between threads: get waits for an item while it is empty, put waits for room while it is full.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>
#include <optional>
#include <queue>
#include <stack>
#include <stdexcept>
#include <utility>
#include <vector>

/// How long to wait at most; nothing stands for no limit.
using time_limit = std::optional<std::chrono::nanoseconds>;

/// Storage is the order: std::queue, std::stack or std::priority_queue of Item (below). Any thread may call
/// any function at any time, and a thread that waits uses no CPU. Items may be move-only, except in a
/// priority_queue.
template <typename Item, typename Storage>
class blocking_queue {
 public:
    /// Makes an empty, open queue for at most `capacity` items; 0 is no limit.
    explicit blocking_queue(std::size_t capacity = 0) : capacity_{capacity} {}

    /// Waits for room, at most for `limit`, and adds the item. Returns whether it did: false if the time is
    /// over, or if the queue is closed, before or meanwhile.
    bool put(Item item, time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        bool added = false;
        // BEGIN SOLUTION: wait for room or the close, then add the item, which is one more unfinished; wake a get.
        wait(not_full_, lock, limit, [this] { return closed_ || has_room(); });
        if (!closed_ && has_room()) {
            items_.push(std::move(item));
            ++unfinished_;
            added = true;
            not_empty_.notify_one();
        }
        // END SOLUTION
        return added;
    }

    /// Adds the item if there is room now. Returns whether it did.
    bool try_put(Item item) { return put(std::move(item), std::chrono::nanoseconds{0}); }

    /// Waits for an item, at most for `limit`, and takes the next in this queue's order. Returns nothing if
    /// the time is over, or if the queue is closed and empty: items that were put before the close are still
    /// given.
    std::optional<Item> get(time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        std::optional<Item> taken;
        // BEGIN SOLUTION: wait for an item or the close, then take the next item if there is one; wake a put.
        wait(not_empty_, lock, limit, [this] { return closed_ || !items_.empty(); });
        if (!items_.empty()) {
            taken = std::move(next(items_));
            items_.pop();
            not_full_.notify_one();
        }
        // END SOLUTION
        return taken;
    }

    /// Takes an item if there is one now; returns nothing otherwise.
    std::optional<Item> try_get() { return get(std::chrono::nanoseconds{0}); }

    /// Reports that the work on one item that get returned is done. Throws std::logic_error if each item that
    /// was put has been reported already.
    void task_done() {
        const std::lock_guard lock{mutex_};
        if (unfinished_ == 0) throw std::logic_error{"task_done: more often than put"};
        if (--unfinished_ == 0) all_done_.notify_all();
    }

    /// Waits until task_done has been called for every item that was put. A close does not end this wait.
    void join() {
        std::unique_lock lock{mutex_};
        all_done_.wait(lock, [this] { return unfinished_ == 0; });
    }

    /// From now on put adds nothing and no get waits; calls that wait in put or get return at once. To close
    /// a queue twice does no harm.
    void close() {
        const std::lock_guard lock{mutex_};
        // BEGIN SOLUTION: close the queue, and wake all threads that the close concerns.
        closed_ = true;
        not_full_.notify_all();
        not_empty_.notify_all();
        // END SOLUTION
    }

    /// Returns how many items there were: another thread may change it before the caller looks.
    std::size_t size() const {
        const std::lock_guard lock{mutex_};
        return items_.size();
    }

 private:
    // To be called with the mutex locked.
    bool has_room() const { return capacity_ == 0 || items_.size() < capacity_; }

    // std::queue calls its next item front, the others call it top. A std::priority_queue only shows it: a
    // copy.
    static Item& next(std::queue<Item>& items) { return items.front(); }
    template <typename Others>
    static auto& next(Others& items) {
        return items.top();
    }

    // Sleeps, with the mutex unlocked, until `ready()` or until the time is over.
    template <typename Ready>
    static void wait(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, time_limit limit,
                     Ready ready) {
        if (limit)
            changed.wait_for(lock, *limit, ready);
        else
            changed.wait(lock, ready);
    }

    mutable std::mutex mutex_;
    // Each condition variable is named for its condition. A close is a reason to wake for the first two as
    // well.
    std::condition_variable not_full_;
    std::condition_variable not_empty_;
    std::condition_variable all_done_;
    const std::size_t capacity_;
    Storage items_;
    // Items put, and not yet reported by task_done.
    std::size_t unfinished_ = 0;
    bool closed_ = false;
};

/// First in, first out.
template <typename Item>
using fifo_queue = blocking_queue<Item, std::queue<Item>>;

/// Last in, first out.
template <typename Item>
using lifo_queue = blocking_queue<Item, std::stack<Item>>;

/// The least item first.
template <typename Item>
using priority_queue = blocking_queue<Item, std::priority_queue<Item, std::vector<Item>, std::greater<>>>;
