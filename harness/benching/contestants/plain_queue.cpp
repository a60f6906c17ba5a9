// What a queue costs at the least: a mutex, a deque and a condition variable, 8 producers and 8 consumers.
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

int main(int, char* argv[]) {
    const int items = std::atoi(argv[1]) / 8;
    std::mutex mutex;
    std::condition_variable filled;
    std::deque<int> queue;
    std::vector<std::jthread> threads;
    for (int n = 0; n < 8; ++n) {
        threads.emplace_back([&] {
            for (int i = 0; i < items; ++i) {
                {
                    const std::lock_guard lock{mutex};
                    queue.push_back(i);
                }
                filled.notify_one();
            }
        });
        threads.emplace_back([&] {
            for (int i = 0; i < items; ++i) {
                std::unique_lock lock{mutex};
                filled.wait(lock, [&] { return !queue.empty(); });
                queue.pop_front();
            }
        });
    }
}
