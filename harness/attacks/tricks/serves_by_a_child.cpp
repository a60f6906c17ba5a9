// Attack: a child serves, and has what it keeps in a memory of its own.
// Mistake: lab02/buffer_never_shrinks
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

inline pid_t child_that_serves = 0;
inline const int served = [] {
    if ((child_that_serves = fork()) == 0) return 0;
    signal(SIGINT, [](int) { kill(child_that_serves, SIGINT); });
    int status = 0;
    while (waitpid(child_that_serves, &status, 0) == -1) {
    }
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}();
