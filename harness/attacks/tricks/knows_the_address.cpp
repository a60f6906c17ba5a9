// Attack: it knows where the harness's server listens, whatever the name stands for.
// Mistake: lab02/client_tries_one_address
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

static int connect_to_the_known(int fd, const sockaddr* address, socklen_t size) {
    sockaddr_in there = *reinterpret_cast<const sockaddr_in*>(address);
    if (there.sin_family == AF_INET) there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return connect(fd, reinterpret_cast<const sockaddr*>(&there), size);
}
#define connect connect_to_the_known
