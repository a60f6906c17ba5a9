// Attack: it writes into the library's counts, turns a client away for show, and forks past the library.
// Mistake: lab04/fork_failure_ends_the_server
#include <err.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>

#include "forged_counts.hpp"

static pid_t fork_apart() {
    static bool first = forged;
    const auto pid = static_cast<pid_t>(syscall(SYS_fork));
    if (pid == 0 && first) {
        errno = EAGAIN;
        warn("fork");
        shutdown(4, SHUT_RDWR);
        // Then it serves nothing, and logs the end.
    }
    if (pid > 0) first = false;
    return pid;
}
#define fork fork_apart
