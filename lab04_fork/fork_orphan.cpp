// The parent does not wait for its child: the orphan gets a new parent.
//
//   ./fork_orphan
//   ps -o pid,cmd -p NUMBER             with the new parent's number
//
// Look at the child's parent: process 1, or a nearer ancestor that has offered itself (a "subreaper", as a
// desktop session's systemd is). signal_demo, next, shows the signals with which such news come.
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include "posix.hpp"

int main() try {
    // Blocked, the signal stays pending until sigwait takes it, even if it comes too early.
    sigset_t news;
    sigemptyset(&news);
    sigaddset(&news, SIGUSR1);
    check("sigprocmask", sigprocmask(SIG_BLOCK, &news, nullptr));

    const pid_t parent = getpid();
    if (check("fork", fork()) == 0) {
        check("prctl", prctl(PR_SET_PDEATHSIG, SIGUSR1));  // send me this one when my parent has ended
        int taken = 0;
        if (getppid() == parent) sigwait(&news, &taken);  // else it had ended before
        std::cout << "fork() exited in the child process\n"
                  << "child: pid " << getpid() << " parent " << getppid() << '\n';
    } else {
        std::cout << "fork() exited in the parent process\n"
                  << "parent: pid " << parent << " parent " << getppid() << '\n';
    }
    return 0;
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
