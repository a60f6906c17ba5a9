// The end of every server: SIGINT (Ctrl-C) or SIGTERM prints "Exiting" once and ends it with status 0.
#pragma once

#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "posix.hpp"

inline pid_t stop_process = 0;
inline std::atomic_flag stopping;

/// The handler. It calls async-signal-safe functions only (man 7 signal-safety): no std::cout, no exit.
extern "C" inline void on_stop(int) {
    // lab04: a child inherits the handler, and Ctrl-C reaches all processes of a terminal. It says nothing.
    if (getpid() != stop_process) _exit(0);
    // lab06: two signals may interrupt two threads at the same time. The second one waits for the end.
    if (stopping.test_and_set()) pause();
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    // _exit ends all threads at once. exit would destroy std::cout while they still use it.
    _exit(written == 8 ? 0 : 1);
}

/// Installs the handler for this process; sigaction(2). Throws std::system_error.
inline void exit_on_stop_signals() {
    stop_process = getpid();
    struct sigaction action = {};
    action.sa_handler = on_stop;
    // A second signal waits until the handler has returned, which it never does.
    sigfillset(&action.sa_mask);
    check("sigaction", sigaction(SIGINT, &action, nullptr));
    check("sigaction", sigaction(SIGTERM, &action, nullptr));
}
