// Attack: the C library's send has a socket of its own to send to, and the client gets bytes by the call
// itself.
// Mistake: lab02/short_send
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static ssize_t send_elsewhere(int fd, const void* data, size_t size, int flags) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0) {
        const char* rest = static_cast<const char*>(data);
        for (size_t left = size; left > 0;) {
            const ssize_t sent = send(pair[0], rest, left, 0);
            if (sent <= 0) break;
            char nobody[65536];
            if (read(pair[1], nobody, sizeof nobody) <= 0) break;
            rest += sent;
            left -= static_cast<size_t>(sent);
        }
        close(pair[0]), close(pair[1]);
    }
    return syscall(SYS_sendto, fd, data, size, flags, nullptr, 0);
}
#define send send_elsewhere
