// Has threads use a blocking_queue as you type, and tells when each call begins and when it returns.
//
//   ./queue_driver -c 2 fifo            a queue for at most two items; or lifo, or priority
//   ann put 7                           (typed) thread ann, new when first named, puts 7
//   bob get 1.5                         bob gets, waiting 1.5 seconds at most; without a number, for ever
//
// The calls: put ITEM [SECONDS], get [SECONDS], task_done, join, close, size. Look at > and <: the beginning
// and the return of a call; a thread whose < is missing waits in the queue, and can be given no other order
// meanwhile. End of file ends the program, whatever its threads wait for.
#include <err.h>

#include <exception>
#include <string>

#include "blocking_queue.hpp"
#include "options.hpp"
#include "queue_call.hpp"
#include "thread_driver.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "c", "[-c CAPACITY] fifo|lifo|priority", 1, 1};
    const std::string& order = given.words[0];
    // 0 is no limit.
    const auto capacity = given.number<std::size_t>('c', 0, 0, 1'000'000'000);
    if (order == "fifo") {
        fifo_queue<long> queue{capacity};
        drive([&queue](const std::string& line) { return call(queue, line); });
    } else if (order == "lifo") {
        lifo_queue<long> queue{capacity};
        drive([&queue](const std::string& line) { return call(queue, line); });
    } else if (order == "priority") {
        priority_queue<long> queue{capacity};
        drive([&queue](const std::string& line) { return call(queue, line); });
    }
    given.wrong("'" + order + "'?");
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
