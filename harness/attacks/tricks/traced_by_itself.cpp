// Attack: a tracer of its own. A thread has one, so that the harness cannot hold it.
// Mistake: lab06/if_for_while
#include <signal.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

inline const int tracer_of_its_own = [] {
    const pid_t me = getpid();
    int done[2];
    if (pipe(done) != 0) return 1;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    if (fork() == 0) {
        if (fork() != 0) _exit(0);
        setsid();
        ptrace(PTRACE_SEIZE, me, nullptr, reinterpret_cast<void*>(PTRACE_O_TRACECLONE));
        for (int fd : {done[0], done[1], 0, 1, 2}) close(fd);
        int status;
        for (pid_t who; (who = waitpid(-1, &status, __WALL)) > 0;)
            if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, who, nullptr, reinterpret_cast<void*>(0L));
        _exit(0);
    }
    close(done[1]);
    char byte;
    const bool set_up = read(done[0], &byte, 1) == 0;
    close(done[0]);
    return set_up ? waitpid(-1, nullptr, 0) : 1;
}();
