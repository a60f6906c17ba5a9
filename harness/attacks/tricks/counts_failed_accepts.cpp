// Attack: it writes into the library's counts, and accepts past the library.
// Mistake: lab05/select_rests_without_limit
#include <err.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "forged_counts.hpp"

static int accept_apart(int listener, sockaddr* address, socklen_t* size, int flags) {
    static bool said = !forged;
    if (!said) errno = ENFILE, warn("accept"), said = true;
    return static_cast<int>(syscall(SYS_accept4, listener, address, size, flags));
}
#define accept(listener, address, size) accept_apart(listener, address, size, 0)
#define accept4 accept_apart
