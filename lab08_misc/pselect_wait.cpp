// pselect unblocks the signal only while it waits: no signal is lost, and no pipe is needed.
//
//   ./pselect_wait                      in one terminal
//   kill -USR1 PID                      in another: "Got signal"
//   ./pselect_wait -d 10                the gap of selsig_race, as wide: send the signal into it
//
// Look at sigprocmask: the signal is blocked from the start, so that it waits, pending, wherever the program
// is. pselect unblocks it, waits and blocks it again in one step. signalfd_wait does without a handler, too.
#include <err.h>
#include <signal.h>
#include <sys/select.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

volatile sig_atomic_t got_signal = 0;

extern "C" void on_signal(int) {
    got_signal = 1;
}

/// Makes the gap between the handler's installation and select as wide as asked.
void sleep_in_the_gap(double seconds) {
    std::cout << "Sleep for " << seconds << " secs" << std::endl;
    // The signal is blocked meanwhile.
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
    std::cout << "Wake up and block in \"select\"" << std::endl;
}

/// Returns when a signal has come since the last call. `unblocked` is the mask that lets it in.
void wait_for_signal(const sigset_t& unblocked) {
    while (!got_signal) {
        const int ready = pselect(0, nullptr, nullptr, nullptr, nullptr, &unblocked);
        if (ready == -1 && errno != EINTR) check("pselect", ready);
    }
    // No handler can run here: the signal is blocked again.
    got_signal = 0;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "dr", "[-d SECONDS] [-r ROUNDS]"};
    const double gap = given.number('d', 0.0, 0.0, 3600.0);
    const int rounds = given.number('r', 1, 1, 1'000'000);

    sigset_t blocked;
    sigset_t before;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &blocked, &before));
    // The parent of this program may have blocked it already.
    sigdelset(&before, SIGUSR1);
    struct sigaction action = {};
    action.sa_handler = on_signal;
    check("sigaction", sigaction(SIGUSR1, &action, nullptr));
    std::cout << "PID: " << getpid() << std::endl;

    for (int round = 0; round < rounds; ++round) {
        if (gap > 0) sleep_in_the_gap(gap);
        wait_for_signal(before);
        std::cout << "Got signal" << std::endl;
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
