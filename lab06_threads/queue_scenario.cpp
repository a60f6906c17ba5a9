// Several threads use one blocking_queue at the same time: each argument is what one of them does.
//
//   ./queue_scenario fifo 'put 1; put 2' 'get; get'     ann puts, bob gets
//
// The calls are queue_driver's, > their beginning and < their return. Run it ten times: the order may differ
// from run to run. In the suite's directory, try all possible orders with at most two preemptions:
//
//   make schedules-lab06 PROGRAM=queue_scenario ARGUMENTS="-c 1 fifo 'put 1; put 2' 'get; get'"
#include <err.h>

#include <exception>
#include <string>
#include <vector>

#include "blocking_queue.hpp"
#include "options.hpp"
#include "queue_call.hpp"
#include "thread_driver.hpp"

/// Has the threads of the scenario use one queue.
template <typename Queue>
void run(std::size_t capacity, const std::vector<std::string>& scenario) {
    Queue queue{capacity};
    play([&queue](const std::string& order) { return call(queue, order); }, scenario);
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "c", "[-c CAPACITY] fifo|lifo|priority CALLS...", 2, 7};
    // 0 is no limit.
    const auto capacity = given.number<std::size_t>('c', 0, 0, 1'000'000'000);
    const std::string& order = given.words[0];
    const std::vector<std::string> scenario{given.words.begin() + 1, given.words.end()};
    if (order == "fifo")
        run<fifo_queue<long>>(capacity, scenario);
    else if (order == "lifo")
        run<lifo_queue<long>>(capacity, scenario);
    else if (order == "priority")
        run<priority_queue<long>>(capacity, scenario);
    else
        given.wrong("'" + order + "'?");
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
