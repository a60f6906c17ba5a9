// What is true of the lock in one thread, and a little of what is true in several. A test that hangs is ended
// by SIGALRM after half a minute.
#include "../rw_lock.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <mutex>
#include <shared_mutex>
#include <thread>
#include <vector>

class RwLock : public testing::Test {
 protected:
    void SetUp() override { alarm(30); }
    void TearDown() override { alarm(0); }
};

TEST_F(RwLock, IsFreeAgainAfterEachReaderAndEachWriter) {
    rw_lock lock;
    for (int times = 0; times < 3; ++times) {
        lock.lock();
        lock.unlock();
        lock.lock_shared();
        lock.unlock_shared();
    }
}

TEST_F(RwLock, LetsReadersShareIt) {
    rw_lock lock;
    const std::shared_lock first{lock};
    const std::shared_lock second{lock};
    std::jthread{[&lock] { const std::shared_lock third{lock}; }};
}

TEST_F(RwLock, LetsAWriterInWhenTheLastReaderHasGone) {
    rw_lock lock;
    std::atomic<bool> written = false;
    lock.lock_shared();
    lock.lock_shared();
    std::jthread writer{[&] {
        const std::unique_lock writing{lock};
        written = true;
    }};
    lock.unlock_shared();
    EXPECT_FALSE(written);
    lock.unlock_shared();
    writer.join();
    EXPECT_TRUE(written);
}

TEST_F(RwLock, LosesNoAdditionOfManyWriters) {
    rw_lock lock;
    int sum = 0;
    {
        std::vector<std::jthread> threads;
        for (int number = 1; number <= 4; ++number)
            threads.emplace_back([&] {
                for (int i = 0; i < 1000; ++i) {
                    const std::unique_lock writing{lock};
                    ++sum;
                }
            });
        threads.emplace_back([&] {
            for (int last = 0; last < 4000;) {
                const std::shared_lock reading{lock};
                EXPECT_GE(sum, last);
                last = sum;
            }
        });
    }
    EXPECT_EQ(sum, 4000);
}
