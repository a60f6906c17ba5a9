// Several threads use one blocking_queue at the same time: each argument is what one of them does.
//
//   ./queue_scenario fifo 'put 1; put 2' 'get; get'     ann puts, bob gets
//
// The calls are queue_driver's, > their beginning and < their return. Run it ten times: the order may differ
// from run to run. In the suite's directory, try all possible orders with at most two preemptions:
//
//   make schedules-lab06 PROGRAM=queue_scenario ARGUMENTS="-c 1 fifo 'put 1; put 2' 'get; get'"
#include <err.h>
#include <pthread.h>

#include <exception>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "blocking_queue.hpp"
#include "options.hpp"
#include "queue_call.hpp"
#include "thread_driver.hpp"

/// What one thread does: its calls, with a semicolon between them.
template <typename Queue>
void use(Queue& queue, const std::string& name, const std::string& orders) {
    pthread_setname_np(pthread_self(), name.c_str());
    std::istringstream list{orders};
    for (std::string order; std::getline(list >> std::ws, order, ';');) {
        tell({"> ", name, " ", order});
        std::string result;
        try {
            result = call(queue, order);
        } catch (const std::exception& error) {
            result = error.what();
        }
        tell({"< ", name, " ", order, ": ", result});
    }
}

/// Starts a thread for each of the scenario's arguments, and waits for all of them.
template <typename Queue>
void run(std::size_t capacity, const std::vector<std::string>& scenario) {
    const std::vector<std::string> names{"ann", "bob", "cat", "dan", "eve", "fay"};
    Queue queue{capacity};
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < scenario.size(); ++i)
        threads.emplace_back([&queue, &names, &scenario, i] { use(queue, names[i], scenario[i]); });
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
