// Shows what round_trips.hpp learns: type round trips, and see how long the next try waits for its reply.
//
//   ./timeouts                          type 20, 40, lost, lost, 20
//
// Look at the time-out after a single slow round trip, after many equal ones, and after a loss. Next:
// broadcast.
#include <err.h>

#include <exception>
#include <iomanip>
#include <iostream>
#include <random>
#include <string>

#include "options.hpp"
#include "round_trips.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "s", "[-s SEED] < WORDS (milliseconds, or lost)"};
    std::mt19937 random{given.number('s', 1U, 0U, 0xffff'ffffU)};
    round_trips trips;
    std::cout << std::fixed << std::setprecision(1);
    std::string word;
    while (std::cin >> word) {
        if (word == "lost")
            trips.timed_out();
        else
            trips.measured(round_trips::duration{std::stod(word)});
        std::cout << word << ": time-out " << trips.timeout().count() << " ms, with jitter "
                  << with_jitter(trips.timeout(), random).count() << " ms\n";
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
