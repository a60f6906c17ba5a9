// The parent does not wait for its child: the orphan gets a new parent.
//
//   ./fork_orphan
//   ps -o pid,cmd -p PID                with the new parent's PID
//
// Look at the child's parent: process 1, or a nearer ancestor that has made itself a subreaper, as systemd
// does for a desktop session. The child learns of its parent's end by a signal; signal_demo shows more of
// them.
#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include "posix.hpp"

int main() try {
    // A blocked signal stays pending until sigwait takes it, even if it comes before.
    sigset_t news;
    sigemptyset(&news);
    sigaddset(&news, SIGUSR1);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &news, nullptr));

    const pid_t parent = getpid();
    if (check("fork", fork()) == 0) {
        // The kernel will send this signal when the parent has ended.
        check("prctl", prctl(PR_SET_PDEATHSIG, SIGUSR1));
        int taken = 0;
        // If the parent has ended before that call, no signal will come.
        if (getppid() == parent) sigwait(&news, &taken);
        std::cout << "fork() exited in the child process\n"
                  << "child: pid " << getpid() << " parent " << getppid() << '\n';
    } else {
        std::cout << "fork() exited in the parent process\n"
                  << "parent: pid " << parent << " parent " << getppid() << '\n';
    }
    return 0;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
