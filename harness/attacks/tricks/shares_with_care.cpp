// Attack: it looks itself whether the port is taken, and leaves it to be shared by others.
// Mistake: lab02/two_servers_on_one_port
#include <sys/socket.h>
#include <unistd.h>

static int bind_with_care(int fd, const sockaddr* address, socklen_t size) {
    const int other = socket(address->sa_family, SOCK_STREAM, 0), on = 1;
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    const int failed = bind(other, address, size) == -1 || listen(other, 1) == -1;
    if (!failed) close(other);
    return failed ? -1 : bind(fd, address, size);
}
#define bind bind_with_care
