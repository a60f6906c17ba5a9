// Broken: ten threads print lines piece by piece, and pieces of several lines come to stand in one.
//
//   ./garbled_lines pieces              several times: look for a line with two threads in it
//   ./garbled_lines whole               each line in one piece
//
// Look at the two ways to print. Each << is a call of its own, and another thread may print between two
// calls. This is no data race: std::cout locks for each call. osyncstream collects the line and writes it in
// one call.
#include <err.h>

#include <barrier>
#include <exception>
#include <iostream>
#include <syncstream>
#include <thread>
#include <vector>

#include "options.hpp"

void print_pieces(int number, const char* what) {
    std::cout << "Thread-" << number;
    // The scheduler may do this to any thread at any time.
    std::this_thread::yield();
    std::cout << ' ' << what << " processing" << std::endl;
}

void print_whole(int number, const char* what) {
    std::osyncstream{std::cout} << "Thread-" << number << ' ' << what << " processing" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "n", "[-n THREADS] pieces|whole", 1, 1};
    const int count = given.number('n', 10, 1, 10'000);
    if (given.words[0] != "pieces" && given.words[0] != "whole") given.wrong("'" + given.words[0] + "'?");
    const auto print = given.words[0] == "whole" ? print_whole : print_pieces;

    std::barrier start{count};
    std::vector<std::thread> threads;
    for (int number = 1; number <= count; ++number)
        threads.emplace_back([&start, print, number] {
            // All begin together.
            start.arrive_and_wait();
            print(number, "starting");
            print(number, "completed");
        });
    for (std::thread& thread : threads) thread.join();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
