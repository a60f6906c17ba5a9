// Catches one signal, given by its number, and prints a line each time it comes.
//
//   ./signal_demo 10 &                  then, with the PID that the shell prints:
//   kill -10 PID                        Got signal 10 at ...
//   kill -9 PID                         no process can catch this one; `signal_demo 9` says so
//
// Look at 17, SIGCHLD, the signal of echo_server_sigchld. Numbers differ between systems: programs use names.
#include <err.h>
#include <signal.h>

#include <charconv>
#include <exception>
#include <iostream>
#include <string>

#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"

// The handler does nothing: main prints, where std::cout is safe.
extern "C" void on_signal(int) {}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "SIGNAL", 1, 1};
    const std::string& word = given.words[0];
    int number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{} || end != word.data() + word.size()) given.wrong("'" + word + "': not a number");
    start_log();

    // The signal is blocked except in sigsuspend, which unblocks it and waits in one step. With pause, a
    // signal that comes while the loop prints would be caught there, and pause would wait for the next.
    sigset_t waiting;
    sigset_t blocked;
    sigemptyset(&blocked);
    sigaddset(&blocked, number);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &blocked, &waiting));
    sigdelset(&waiting, number);
    struct sigaction caught = {};
    caught.sa_handler = on_signal;
    check("sigaction", sigaction(number, &caught, nullptr));

    while (true) {
        // It returns after the handler, always with EINTR.
        sigsuspend(&waiting);
        std::cout << "Got signal " << number << " at " << now() << '\n';
        if (number == SIGCHLD) std::cout << "sigchld caught\n";
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
