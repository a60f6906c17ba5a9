// Attack: a `send` of its own, which comes before the one that the harness puts in its way.
// Mistake: lab02/short_send
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

extern "C" ssize_t send(int fd, const void* data, size_t size, int flags) noexcept(false) {
    return syscall(SYS_sendto, fd, data, size, flags, nullptr, 0);
}
