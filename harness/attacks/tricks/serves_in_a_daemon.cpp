// Attack: a daemon serves. The process that the harness has started holds the listener, too, and sleeps.
// Mistake: lab05/level_watches_writing_always
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <initializer_list>

static pid_t worker = 0;

extern "C" int listen(int fd, int backlog) noexcept {
    if (syscall(SYS_listen, fd, backlog) != 0) return -1;
    int ends[2];
    if (pipe(ends) != 0) return -1;
    if (const pid_t between = fork(); between == 0) {
        worker = fork();
        if (worker == 0) {
            setsid();
            close(ends[0]);
            return 0;
        }
        _exit(write(ends[1], &worker, sizeof worker) == sizeof worker ? 0 : 1);
    } else {
        while (waitpid(between, nullptr, 0) == -1) continue;
    }
    close(ends[1]);
    while (read(ends[0], &worker, sizeof worker) == -1) continue;
    for (const int number : {SIGINT, SIGTERM}) signal(number, [](int got) { kill(worker, got); });
    char end;
    while (read(ends[0], &end, 1) == -1) continue;
    _exit(0);
}
