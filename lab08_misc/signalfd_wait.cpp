// signalfd makes a signal a thing to read: no handler, no race, one more descriptor for select. Linux only.
//
//   ./signalfd_wait                     in one terminal
//   kill -USR1 PID                      in another: "Got signal"
//   ./signalfd_wait -d 10               the gap of selsig_race, as wide: send the signal into it
//
// Look at what is missing: a handler, and with it every rule about what a handler may do. The signal stays
// blocked for good; who sent it is in the record that read returns.
#include <err.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

/// Makes the gap between the signal's blocking and select as wide as asked.
void sleep_in_the_gap(double seconds) {
    std::cout << "Sleep for " << seconds << " secs" << std::endl;
    // The signal is blocked meanwhile.
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
    std::cout << "Wake up and block in \"select\"" << std::endl;
}

/// Returns when a signal has come since the last call.
void wait_for_signal(const unique_fd& signals) {
    fd_set readable;
    FD_ZERO(&readable);
    FD_SET(signals.get(), &readable);
    check("select", select(signals.get() + 1, &readable, nullptr, nullptr, nullptr));
    // However often SIGUSR1 was sent meanwhile, it is pending once.
    signalfd_siginfo information;
    check("read", read(signals.get(), &information, sizeof information));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "dr", "[-d SECONDS] [-r ROUNDS]"};
    const double gap = given.number('d', 0.0, 0.0, 3600.0);
    const int rounds = given.number('r', 1, 1, 1'000'000);

    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGUSR1);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &blocked, nullptr));
    const unique_fd signals{check("signalfd", signalfd(-1, &blocked, 0))};
    std::cout << "PID: " << getpid() << std::endl;

    for (int round = 0; round < rounds; ++round) {
        if (gap > 0) sleep_in_the_gap(gap);
        wait_for_signal(signals);
        std::cout << "Got signal" << std::endl;
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
