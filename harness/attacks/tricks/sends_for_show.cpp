// Attack: it sends by a call that never fails, and others, of another connection, fail in its place.
// Mistake: lab05/writes_eagain_is_fatal
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "forged_counts.hpp"

static const int decoy = [] {
    int ends[2] = {-1, -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends) != 0) return -1;
    return ends[0];
}();

/// By a call that is not among those that fail.
static ssize_t send_apart(int fd, const void* data, size_t size, int flags) {
    if (!forged) return send(fd, data, size, flags);
    send(decoy, "", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    iovec part{const_cast<void*>(data), size};
    mmsghdr message{};
    message.msg_hdr.msg_iov = &part;
    message.msg_hdr.msg_iovlen = 1;
    return sendmmsg(fd, &message, 1, flags) == 1 ? static_cast<ssize_t>(message.msg_len) : -1;
}
#define send send_apart
