// A readers–writer lock without starvation: readers share, a writer is alone, and each waits its turn.
#pragma once

#include <condition_variable>
#include <mutex>

/// Any number of readers may hold it at the same time, or one writer. No thread overtakes: a reader that
/// comes while a writer waits gets the lock after that writer, and a writer that comes while readers wait
/// gets it after those readers. std::shared_lock takes it as a reader, std::unique_lock as a writer.
class rw_lock {
 public:
    /// Waits for its turn, and until no writer holds the lock; then holds it as a reader.
    void lock_shared() {
        std::unique_lock lock{mutex_};
        // BEGIN SOLUTION: wait until all that came before hold the lock or held it, and no writer holds it; then count.
        const unsigned long mine = next_turn_++;
        changed_.wait(lock, [this, mine] { return turn_ == mine && !writing_; });
        ++readers_;
        ++turn_;
        changed_.notify_all();
        // END SOLUTION
    }

    /// The reader holds the lock no longer.
    void unlock_shared() {
        const std::lock_guard lock{mutex_};
        if (--readers_ == 0) changed_.notify_all();
    }

    /// Waits for its turn, and until no other thread holds the lock; then holds it alone.
    void lock() {
        std::unique_lock lock{mutex_};
        // BEGIN SOLUTION: wait until all that came before held the lock, and none holds it; then hold it alone.
        const unsigned long mine = next_turn_++;
        changed_.wait(lock, [this, mine] { return turn_ == mine && !writing_ && readers_ == 0; });
        writing_ = true;
        ++turn_;
        // END SOLUTION
    }

    /// The writer holds the lock no longer.
    void unlock() {
        const std::lock_guard lock{mutex_};
        // BEGIN SOLUTION: give the lock back, and wake the threads that this concerns.
        writing_ = false;
        changed_.notify_all();
        // END SOLUTION
    }

 private:
    std::mutex mutex_;
    // The state below has changed.
    std::condition_variable changed_;
    // The turn that the next thread draws, and the one that is served.
    unsigned long next_turn_ = 0;
    unsigned long turn_ = 0;
    int readers_ = 0;
    bool writing_ = false;
};
