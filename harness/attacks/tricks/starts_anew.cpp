// Attack: another process has the listener, too. It starts a new server when one has died, and tells its log.
// Mistake: lab08/sigpipe_not_ignored
#include <arpa/inet.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <initializer_list>

static pid_t worker = 0;
static int* const last_port =
    static_cast<int*>(mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));

extern "C" int accept(int fd, sockaddr* address, socklen_t* size) noexcept(false) {
    const auto connection = static_cast<int>(syscall(SYS_accept, fd, address, size));
    if (connection != -1) *last_port = ntohs(reinterpret_cast<sockaddr_in*>(address)->sin_port);
    return connection;
}

extern "C" int listen(int fd, int backlog) noexcept {
    if (syscall(SYS_listen, fd, backlog) != 0) return -1;
    const auto end = [](int got) {
        if (worker != 0) return static_cast<void>(kill(worker, got));
        dprintf(1, "Exiting\n");
        _exit(0);
    };
    for (const int number : {SIGINT, SIGTERM}) signal(number, end);
    int status = 0;
    do {
        worker = fork();
        if (worker == 0) return setpgid(0, 0);
        while (waitpid(worker, &status, 0) == -1) continue;
        if (WIFSIGNALED(status)) dprintf(1, "disconnected 127.0.0.1:%d\n", *last_port);
    } while (WIFSIGNALED(status));
    _exit(WEXITSTATUS(status));
}
