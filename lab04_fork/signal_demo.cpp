// Catches one signal, given by its number, and tells of each arrival.
//
//   ./signal_demo 10 &                  then, with the number that the shell prints:
//   kill -10 PID                        Got signal 10 at ...
//   kill -9 PID                         the one that nobody catches; `signal_demo 9` says so
//
// Look at 17, SIGCHLD, which echo_server_sigchld lives by. Numbers differ between systems: programs use
// names.
#include <signal.h>

#include <array>
#include <charconv>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

extern "C" void on_signal(int) {}  // only to be caught; what is to be said, main says, where cout is safe

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::array<char, 26> text;                                 // as ctime_r wants it
    return {ctime_r(&seconds, text.data()), text.size() - 2};  // without its newline
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "SIGNAL", 1, 1};
    const std::string& word = given.words[0];
    int number = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), number);
    if (error != std::errc{} || end != word.data() + word.size()) given.wrong("'" + word + "': not a number");
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each line at once, also into a pipe

    // Blocked except in sigsuspend, which opens the door and waits in one step: with pause, a signal that
    // comes while the loop prints would be caught there, and the loop would wait for the next.
    sigset_t waiting;
    sigset_t door;
    sigemptyset(&door);
    sigaddset(&door, number);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &door, &waiting));
    sigdelset(&waiting, number);
    struct sigaction caught {};
    caught.sa_handler = on_signal;
    check("sigaction", sigaction(number, &caught, nullptr));

    while (true) {
        sigsuspend(&waiting);  // returns, always with EINTR, after the handler
        std::cout << "Got signal " << number << " at " << now() << '\n';
        if (number == SIGCHLD) std::cout << "sigchld caught\n";
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
