// Lets a person or a script be the scheduler: each line of the standard input names a thread and its next
// call.
#pragma once

#include <pthread.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <functional>
#include <initializer_list>
#include <iostream>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "posix.hpp"

/// Carries out one order, "put 7", and returns its result as text; an exception's text is the result, too.
using carry_out = std::function<std::string(const std::string& order)>;

/// Writes a line without any lock: ThreadSanitizer must see the locks of what is driven, and no others.
inline void tell(std::initializer_list<std::string_view> words) {
    std::string text;
    for (const std::string_view word : words) text += word;
    text += '\n';
    check("write", write(STDOUT_FILENO, text.data(), text.size()));
}

/// Has the calling thread carry out one order, and tells its beginning and its return.
inline void act(const carry_out& call, const std::string& name, const std::string& order) {
    tell({"> ", name, " ", order});
    std::string result;
    try {
        result = call(order);
    } catch (const std::exception& error) {
        result = error.what();
    }
    tell({"< ", name, " ", order, ": ", result});
}

/// Starts a thread for each of the scenario's words, "put 1; put 2", which carries out its orders; waits for
/// all.
inline void play(const carry_out& call, const std::vector<std::string>& scenario) {
    const std::vector<std::string> names{"ann", "bob", "cat", "dan", "eve", "fay"};
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < scenario.size(); ++i)
        threads.emplace_back([&call, &name = names[i], &orders = scenario[i]] {
            pthread_setname_np(pthread_self(), name.c_str());
            std::istringstream list{orders};
            for (std::string order; std::getline(list >> std::ws, order, ';');) act(call, name, order);
        });
}

/// Starts a thread that carries out the orders it reads from a pipe, a line each. Returns the other end.
inline unique_fd start_driven(const carry_out& call, const std::string& name) {
    std::array<int, 2> ends{};
    check("pipe", pipe(ends.data()));
    std::thread{[call, name, from = ends[0]] {
        // Best effort: at most 15 bytes; ps -L shows it.
        pthread_setname_np(pthread_self(), name.c_str());
        FILE* orders = fdopen(from, "r");
        std::array<char, 1024> line;
        while (fgets(line.data(), line.size(), orders) != nullptr) {
            std::string order{line.data()};
            // The newline.
            order.pop_back();
            act(call, name, order);
        }
    }}.detach();
    return unique_fd{ends[1]};
}

/// Hands each line of the standard input to the thread that it names, a new one when first named. At the end
/// of file the process ends, with threads that may wait for ever.
[[noreturn]] inline void drive(const carry_out& call) {
    std::map<std::string, unique_fd> threads;
    for (std::string line; std::getline(std::cin, line);) {
        std::istringstream words{line};
        std::string name;
        std::string order;
        if (!std::getline(words >> name >> std::ws, order)) continue;
        if (!threads.contains(name)) threads[name] = start_driven(call, name);
        order += '\n';
        check("write", write(threads[name].get(), order.data(), order.size()));
    }
    _exit(0);
}
