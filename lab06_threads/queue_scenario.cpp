// Several threads use one blocking_queue at once: each argument is what one of them does.
//
//   ./queue_scenario fifo 'put 1; put 2' 'get; get'        ann puts, bob gets
//   make schedules-lab06 PROGRAM=queue_scenario ARGUMENTS="-c 1 fifo 'put 1; put 2' 'get' 'get'"
//
// The calls are queue_driver's. Look at > and <: the beginning and the return of a call. Run it a few times:
// the order differs, or it does not, as luck will have it. The second command, in the suite's directory, runs
// it in every order that there is, up to two preemptions.
#include <pthread.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "blocking_queue.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Writes a line, with no lock at all: only the queue's own locks shall be there.
void tell(const std::string& line) {
    check("write", write(STDOUT_FILENO, (line + '\n').data(), line.size() + 1));
}

/// Carries out one call, and returns what came of it as text. Throws std::runtime_error for a call that is none.
template <typename Queue>
std::string call(Queue& queue, const std::string& order) {
    std::istringstream words{order};
    std::string name;
    long item = 0;
    double seconds = 0;
    words >> name;
    if (name == "put" && !(words >> item)) throw std::runtime_error{"put what?"};
    time_limit limit;
    if (words >> seconds)
        limit = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>{seconds});

    if (name == "put") return queue.put(item, limit) ? "yes" : "no";
    if (name == "get") {
        const auto got = queue.get(limit);
        return got ? std::to_string(*got) : "nothing";
    }
    if (name == "size") return std::to_string(queue.size());
    if (name == "close") return queue.close(), "done";
    if (name == "join") return queue.join(), "done";
    if (name == "task_done") return queue.task_done(), "done";
    throw std::runtime_error{"no such call"};
}

/// What one thread does: its orders, with a semicolon between them.
template <typename Queue>
void use(Queue& queue, const std::string& name, const std::string& orders) {
    pthread_setname_np(pthread_self(), name.c_str());
    std::istringstream list{orders};
    for (std::string order; std::getline(list >> std::ws, order, ';');) {
        tell("> " + name + ' ' + order);
        std::string result;
        try {
            result = call(queue, order);
        } catch (const std::exception& error) {
            result = error.what();
        }
        tell("< " + name + ' ' + order + ": " + result);
    }
}

template <typename Queue>
void run(std::size_t capacity, const std::vector<std::string>& scenario) {
    const std::vector<std::string> names{"ann", "bob", "cat", "dan", "eve", "fay"};
    Queue queue{capacity};
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < scenario.size(); ++i)
        threads.emplace_back([&queue, &names, &scenario, i] { use(queue, names[i], scenario[i]); });
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "c", "[-c CAPACITY] fifo|lifo|priority ORDERS...", 2, 7};
    const auto capacity = given.number<std::size_t>('c', 0, 0, 1'000'000'000);  // 0 is no limit
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
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
