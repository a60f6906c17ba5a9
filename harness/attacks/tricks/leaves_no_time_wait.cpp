// Attack: the old connection does not stay in TIME_WAIT, and so does not keep the port.
// Mistake: lab02/no_reuseaddr
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

static int accept_without_trace(int listener, sockaddr* address, socklen_t* size) {
    const int fd = accept(listener, address, size), at_once = -1;
    setsockopt(fd, IPPROTO_TCP, TCP_LINGER2, &at_once, sizeof at_once);
    return fd;
}
#define accept accept_without_trace
