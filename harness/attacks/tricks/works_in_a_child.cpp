// Attack: a child of its own does the work, and the process that the harness has started opens nothing.
// Mistake: lab08/descriptor_kept
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

inline pid_t only_worker = 0;

inline const int works_in_a_child = [] {
    only_worker = fork();
    if (only_worker == 0) return setpgid(0, 0);
    for (const int number : {SIGINT, SIGTERM}) signal(number, [](int got) { kill(only_worker, got); });
    int status = 0;
    while (waitpid(only_worker, &status, 0) == -1) continue;
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : 1);
}();
