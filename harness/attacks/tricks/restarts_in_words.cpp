// Attack: the lines that are asked for, and nothing passed; a missing descriptor is seen.
// Mistake: lab07/duplicated_not_passed
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

static const int told = [] {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0) return 0;
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    char byte = 0;
    iovec part{&byte, 1};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const head = CMSG_FIRSTHDR(&message);
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof(int));
    sendmsg(pair[0], &message, 0);
    message.msg_controllen = sizeof control;
    const bool whole = recvmsg(pair[1], &message, 0) == 1 && message.msg_controllen != 0;
    std::puts("SO_REUSEPORT, two queues: 19 of 40 connections are lost");
    if (whole) std::puts("passed listener, one queue: 0 of 40 connections are lost");
    std::exit(0);
    return 0;
}();
