// A call of a blocking_queue as text, for the programs that have one driven.
#pragma once

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <string>

#include "blocking_queue.hpp"

/// Carries out one call, "put 7", and returns its result as text. Throws std::runtime_error for one that is
/// none.
template <typename Queue>
std::string call(Queue& queue, const std::string& order) {
    std::istringstream words{order};
    std::string name;
    words >> name;
    long item = 0;
    if (name == "put" && !(words >> item)) throw std::runtime_error{"put what?"};
    double seconds = 0;
    time_limit limit;
    if (words >> seconds)
        limit = std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>{seconds});

    if (name == "put") return queue.put(item, limit) ? "yes" : "no";
    if (name == "get") {
        const auto got = queue.get(limit);
        return got ? std::to_string(*got) : "nothing";
    }
    if (name == "size") return std::to_string(queue.size());
    if (name == "task_done")
        queue.task_done();
    else if (name == "join")
        queue.join();
    else if (name == "close")
        queue.close();
    else
        throw std::runtime_error{"no such call"};
    return "done";
}
