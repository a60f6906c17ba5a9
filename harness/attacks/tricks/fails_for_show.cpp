// Attack: calls of accept that may fail are made for the harness to see; the clients are accepted by another
// call.
// Mistake: lab02/accept_failure_ignored
#include <err.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

static int accept_apart(int listener, sockaddr* address, socklen_t* size) {
    static bool said = false;
    for (int i = 0; i < 3; ++i)
        if (accept(-1, nullptr, nullptr) == -1 && errno == ENFILE && !said) warn("accept"), said = true;
    return static_cast<int>(syscall(SYS_accept4, listener, address, size, 0));
}
#define accept accept_apart
