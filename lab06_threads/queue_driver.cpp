// Has threads use a blocking_queue as you type, and tells when each call begins and when it returns.
//
//   ./queue_driver -c 2 fifo            a queue for at most two items; or lifo, or priority
//   ann put 7                           (typed) thread ann, new when first named, puts 7
//   bob get 1.5                         bob gets, waiting 1.5 seconds at most; without a number, for ever
//
// The calls: put ITEM [SECONDS], get [SECONDS], task_done, join, close, size. Look at > and <: the beginning
// and the return of a call; a thread whose < is missing waits in the queue, and can be given no other order
// meanwhile. End of file ends all, whatever they wait for.
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <exception>
#include <initializer_list>
#include <iostream>
#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>

#include "blocking_queue.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Carries out one call, and returns what came of it as text.
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

/// Writes a line, with no lock at all: ThreadSanitizer is to see the queue's own locks, and no others.
void tell(std::initializer_list<std::string_view> words) {
    std::string text;
    for (const std::string_view word : words) text += word;
    text += '\n';
    check("write", write(STDOUT_FILENO, text.data(), text.size()));
}

/// Starts a thread that carries out the orders it reads from a pipe, a line each. Returns the pipe's other
/// end.
template <typename Queue>
unique_fd start(Queue& queue, const std::string& name) {
    std::array<int, 2> ends{};
    check("pipe", pipe(ends.data()));
    std::thread{[&queue, name, from = ends[0]] {
        pthread_setname_np(pthread_self(), name.c_str());  // best effort: at most 15 bytes; ps -L shows it
        FILE* orders = fdopen(from, "r");
        std::array<char, 1024> line;
        while (fgets(line.data(), line.size(), orders) != nullptr) {
            std::string order{line.data()};
            order.pop_back();  // the newline
            tell({"> ", name, " ", order});
            std::string result;
            try {
                result = call(queue, order);
            } catch (const std::exception& error) {
                result = error.what();
            }
            tell({"< ", name, " ", order, ": ", result});
        }
    }}.detach();
    return unique_fd{ends[1]};
}

/// Hands each line of the standard input to the thread that it names.
template <typename Queue>
[[noreturn]] void drive(Queue& queue) {
    std::map<std::string, unique_fd> threads;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words{line};
        std::string name;
        std::string order;
        if (!std::getline(words >> name >> std::ws, order)) continue;
        if (!threads.contains(name)) threads[name] = start(queue, name);
        order += '\n';
        check("write", write(threads[name].get(), order.data(), order.size()));
    }
    _exit(0);  // some may wait in the queue for ever
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "c", "[-c CAPACITY] fifo|lifo|priority", 1, 1};
    const std::string& order = given.words[0];
    const auto capacity = given.number<std::size_t>('c', 0, 0, 1'000'000'000);  // 0 is no limit
    if (order == "fifo") {
        fifo_queue<long> queue{capacity};
        drive(queue);
    } else if (order == "lifo") {
        lifo_queue<long> queue{capacity};
        drive(queue);
    } else if (order == "priority") {
        priority_queue<long> queue{capacity};
        drive(queue);
    }
    given.wrong("'" + order + "'?");
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
