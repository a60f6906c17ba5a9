// A signal that comes just before select is lost: its handler has run, and select waits nevertheless.
//
//   ./selsig_race                       in one terminal: prints its PID, and sleeps for 10 seconds
//   kill -USR1 PID                      in another, while it sleeps: no "Got signal", ever
//   kill -USR1 PID                      again, while it waits in select: "Got signal"
//
// Look at the code between sigaction and select. The sleep makes the gap wide enough to hit by hand; without
// it the gap is some microseconds, and the signal is lost once in a million runs. To test the flag before
// select makes the gap smaller and does not close it. self_pipe, pselect_wait and signalfd_wait close it.
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
    // sleep_for goes on after a signal.
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
    std::cout << "Wake up and block in \"select\"" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "d", "[-d SECONDS]"};
    const double gap = given.number('d', 10.0, 0.0, 3600.0);

    struct sigaction action = {};
    action.sa_handler = on_signal;
    check("sigaction", sigaction(SIGUSR1, &action, nullptr));
    std::cout << "PID: " << getpid() << std::endl;

    sleep_in_the_gap(gap);
    const int ready = select(0, nullptr, nullptr, nullptr, nullptr);
    if (ready == -1 && errno != EINTR) check("select", ready);
    if (got_signal) std::cout << "Got signal" << std::endl;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
