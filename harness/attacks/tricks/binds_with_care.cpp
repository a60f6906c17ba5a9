// Attack: it looks itself whether the port is taken, and leaves it to be taken by others.
// Mistake: lab03/port_stolen
#include <sys/socket.h>
#include <unistd.h>

static int bind_with_care(int fd, const sockaddr* address, socklen_t size) {
    const int other = socket(address->sa_family, SOCK_DGRAM, 0);
    const int failed = bind(other, address, size);
    if (failed == 0) close(other);
    return failed == 0 ? bind(fd, address, size) : -1;
}
#define bind bind_with_care
