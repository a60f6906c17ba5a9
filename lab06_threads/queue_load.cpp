// Puts load on a blocking_queue: as many producers as consumers, and afterwards a list of what each got.
//
//   ./queue_load -n 8 -c 16 -i 1000000 | tail -1   a million items through room for sixteen
//   make tsan/queue_load && tsan/queue_load -i 10000 > /dev/null
//
// Look at the list: a line CONSUMER PRODUCER ITEM for each item, each consumer's in the order of its gets.
// Producer p puts the items 0, 1, 2 … of its own. None is there twice and none is missing, and no consumer
// sees a producer's items in another order than they were put.
#include <err.h>

#include <chrono>
#include <exception>
#include <functional>
#include <iostream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "blocking_queue.hpp"
#include "options.hpp"

// The producer, and which of its items.
using item = std::pair<int, int>;

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "nci", "[-n PRODUCERS] [-c CAPACITY] [-i ITEMS]"};
    const int count = given.number('n', 8, 1, 1000);
    // For each producer.
    const int items = given.number('i', 1'000'000, 1, 100'000'000) / count;
    fifo_queue<item> queue{given.number<std::size_t>('c', 16, 0, 1'000'000'000)};

    const auto begin = std::chrono::steady_clock::now();
    std::vector<std::vector<item>> got(static_cast<std::size_t>(count));
    std::vector<std::thread> consumers;
    std::vector<std::thread> producers;
    for (int number = 1; number <= count; ++number) {
        consumers.emplace_back([&queue, &mine = got[static_cast<std::size_t>(number - 1)]] {
            while (const auto next = queue.get()) {
                mine.push_back(*next);
                queue.task_done();
            }
        });
        producers.emplace_back([&queue, number, items] {
            for (int i = 0; i < items; ++i) queue.put({number - 1, i});
        });
    }
    for (std::thread& producer : producers) producer.join();
    // All items are done: the consumers may end.
    queue.join();
    queue.close();
    for (std::thread& consumer : consumers) consumer.join();
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - begin;

    for (std::size_t consumer = 0; consumer < got.size(); ++consumer)
        for (const auto& [producer, i] : got[consumer])
            std::cout << consumer << ' ' << producer << ' ' << i << '\n';
    std::cout << "# " << items * count / taken.count() << " items a second\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
