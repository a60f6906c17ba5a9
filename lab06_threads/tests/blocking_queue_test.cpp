// What is true of a queue in one thread, and a little of what is true in several. A test that hangs is ended
// by SIGALRM after half a minute.
#include "../blocking_queue.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

class BlockingQueue : public testing::Test {
 protected:
    void SetUp() override { alarm(30); }
    void TearDown() override { alarm(0); }
};

/// Takes everything that is there, in order.
template <typename Queue>
auto drain(Queue& queue) {
    std::vector<typename decltype(queue.try_get())::value_type> items;
    while (auto item = queue.try_get()) items.push_back(std::move(*item));
    return items;
}

TEST_F(BlockingQueue, FifoGivesTheOldestFirst) {
    fifo_queue<int> queue;
    for (const int item : {3, 1, 2}) EXPECT_TRUE(queue.put(item));
    EXPECT_EQ(drain(queue), (std::vector{3, 1, 2}));
}

TEST_F(BlockingQueue, LifoGivesTheNewestFirst) {
    lifo_queue<int> queue;
    for (const int item : {3, 1, 2}) EXPECT_TRUE(queue.put(item));
    EXPECT_EQ(drain(queue), (std::vector{2, 1, 3}));
}

TEST_F(BlockingQueue, PriorityGivesTheLeastFirst) {
    priority_queue<int> queue;
    for (const int item : {3, 1, 2, 1}) EXPECT_TRUE(queue.put(item));
    EXPECT_EQ(drain(queue), (std::vector{1, 1, 2, 3}));
}

TEST_F(BlockingQueue, HoldsNoMoreThanItsCapacity) {
    fifo_queue<int> queue{2};
    EXPECT_TRUE(queue.try_put(1));
    EXPECT_TRUE(queue.try_put(2));
    EXPECT_FALSE(queue.try_put(3));
    EXPECT_EQ(queue.size(), 2u);
    EXPECT_EQ(queue.try_get(), 1);
    EXPECT_TRUE(queue.try_put(4));
    EXPECT_EQ(drain(queue), (std::vector{2, 4}));
}

TEST_F(BlockingQueue, HasNoLimitByDefault) {
    fifo_queue<int> queue;
    for (int item = 0; item < 10'000; ++item) ASSERT_TRUE(queue.try_put(item));
    EXPECT_EQ(queue.size(), 10'000u);
}

TEST_F(BlockingQueue, WaitsNoLongerThanItsLimit) {
    fifo_queue<int> queue{1};
    EXPECT_FALSE(queue.get(1ms).has_value());
    EXPECT_TRUE(queue.put(1, 1ms));
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_FALSE(queue.put(2, 20ms));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, 20ms);
    EXPECT_EQ(queue.get(1ms), 1);
}

TEST_F(BlockingQueue, TakesItemsThatCanOnlyBeMoved) {
    fifo_queue<std::unique_ptr<std::string>> queue;
    EXPECT_TRUE(queue.put(std::make_unique<std::string>("here")));
    const auto item = queue.try_get();
    ASSERT_TRUE(item.has_value());
    EXPECT_EQ(**item, "here");
}

TEST_F(BlockingQueue, GivesWhatIsLeftAfterTheCloseAndTakesNothing) {
    fifo_queue<int> queue;
    EXPECT_TRUE(queue.put(1));
    queue.close();
    EXPECT_FALSE(queue.put(2));
    EXPECT_EQ(queue.get(1s), 1);
    EXPECT_FALSE(queue.get(1h).has_value());
}

TEST_F(BlockingQueue, IsDoneWhenEachItemHasBeenReported) {
    fifo_queue<int> queue;
    queue.join();  // nothing is unfinished
    EXPECT_THROW(queue.task_done(), std::logic_error);
    EXPECT_TRUE(queue.put(1));
    EXPECT_EQ(queue.try_get(), 1);
    queue.task_done();
    queue.join();
    EXPECT_THROW(queue.task_done(), std::logic_error);
}

TEST_F(BlockingQueue, ARefusedItemIsNotUnfinished) {
    fifo_queue<int> queue{1};
    EXPECT_TRUE(queue.try_put(1));
    EXPECT_FALSE(queue.try_put(2));
    EXPECT_EQ(queue.try_get(), 1);
    queue.task_done();
    queue.join();
}

TEST_F(BlockingQueue, APutWakesAGet) {
    fifo_queue<int> queue;
    std::jthread consumer{[&queue] { EXPECT_EQ(queue.get(20s), 7); }};
    EXPECT_TRUE(queue.put(7));
}

TEST_F(BlockingQueue, AGetWakesAPut) {
    fifo_queue<int> queue{1};
    EXPECT_TRUE(queue.put(1));
    std::jthread producer{[&queue] { EXPECT_TRUE(queue.put(2, 20s)); }};
    EXPECT_EQ(queue.get(20s), 1);
    EXPECT_EQ(queue.get(20s), 2);
}

TEST_F(BlockingQueue, LosesNothingBetweenThreads) {
    fifo_queue<int> queue{4};
    std::atomic<int> sum = 0;
    {
        std::vector<std::jthread> consumers;
        for (int number = 1; number <= 3; ++number)
            consumers.emplace_back([&queue, &sum] {
                while (const auto item = queue.get(20s)) sum += *item;
            });
        {
            std::vector<std::jthread> producers;
            for (int number = 1; number <= 3; ++number)
                producers.emplace_back([&queue] {
                    for (int i = 1; i <= 1000; ++i) EXPECT_TRUE(queue.put(1, 20s));
                });
        }
        queue.close();
    }
    EXPECT_EQ(sum, 3000);
}
