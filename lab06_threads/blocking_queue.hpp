// A queue between threads: who finds it empty waits for an item, who finds it full waits for room.
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
/// any function at any time.
template <typename Item, typename Storage>
class blocking_queue {
 public:
    /// At most `capacity` items; 0 is no limit.
    explicit blocking_queue(std::size_t capacity = 0) : capacity_{capacity} {}

    /// Waits for room, and adds the item. Returns whether it did: not if the time is over, not if the queue
    /// is closed, before or meanwhile.
    bool put(Item item, time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        bool added = false;
        // BEGIN SOLUTION: wait for room or the close, then add the item, which is one more unfinished; tell a get.
        wait(room_, lock, limit, [this] { return closed_ || has_room(); });
        if (!closed_ && has_room()) {
            items_.push(std::move(item));
            ++unfinished_;
            added = true;
            item_.notify_one();
        }
        // END SOLUTION
        return added;
    }
    bool try_put(Item item) { return put(std::move(item), std::chrono::nanoseconds{0}); }

    /// Waits for an item, and takes it. Returns nothing if the time is over, or if the queue is closed and
    /// empty: what was put before the close can still be had.
    std::optional<Item> get(time_limit limit = std::nullopt) {
        std::unique_lock lock{mutex_};
        std::optional<Item> taken;
        // BEGIN SOLUTION: wait for an item or the close, then take the next item if there is one; tell a put.
        wait(item_, lock, limit, [this] { return closed_ || !items_.empty(); });
        if (!items_.empty()) {
            taken = pop();
            room_.notify_one();
        }
        // END SOLUTION
        return taken;
    }
    std::optional<Item> try_get() { return get(std::chrono::nanoseconds{0}); }

    /// Reports that the work on one item that get returned is done. Throws std::logic_error if that has been
    /// said of every item already.
    void task_done() {
        const std::lock_guard lock{mutex_};
        if (unfinished_ == 0) throw std::logic_error{"task_done: more often than put"};
        if (--unfinished_ == 0) finished_.notify_all();
    }

    /// Waits until task_done has been called for every item that was put. A close does not end this wait.
    void join() {
        std::unique_lock lock{mutex_};
        finished_.wait(lock, [this] { return unfinished_ == 0; });
    }

    /// From now on nothing can be put, and no get waits; those that wait in put or get return at once.
    void close() {
        const std::lock_guard lock{mutex_};
        // BEGIN SOLUTION: close the queue, and wake everybody whom that concerns.
        closed_ = true;
        room_.notify_all();
        item_.notify_all();
        // END SOLUTION
    }

    /// How many items there are: were, since another thread may change it before the caller looks.
    std::size_t size() const {
        const std::lock_guard lock{mutex_};
        return items_.size();
    }

 private:
    // These are for callers that hold the mutex.
    bool has_room() const { return capacity_ == 0 || items_.size() < capacity_; }

    Item pop() {
        const auto take = [this](auto& next) {
            Item item = std::move(next);  // std::priority_queue gives no more than a look: a copy there
            items_.pop();
            return item;
        };
        if constexpr (requires { items_.front(); })
            return take(items_.front());
        else
            return take(items_.top());
    }

    /// Sleeps, with the mutex unlocked, until `ready()` or until the time is over.
    template <typename Ready>
    static void wait(std::condition_variable& changed, std::unique_lock<std::mutex>& lock, time_limit limit,
                     Ready ready) {
        if (limit)
            changed.wait_for(lock, *limit, ready);
        else
            changed.wait(lock, ready);
    }

    mutable std::mutex mutex_;
    std::condition_variable room_;      // an item was taken, or the queue closed
    std::condition_variable item_;      // an item was put, or the queue closed
    std::condition_variable finished_;  // no item is unfinished
    const std::size_t capacity_;
    Storage items_;
    std::size_t unfinished_ = 0;  // items put, and not yet reported by task_done
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
