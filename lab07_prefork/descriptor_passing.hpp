// A descriptor is a number that means something in one process only. Through a Unix domain socket the kernel
// gives another process a descriptor of its own for the same open file: SCM_RIGHTS; unix(7), cmsg(3).
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <cstring>
#include <optional>
#include <stdexcept>

#include "posix.hpp"

/// Space for one control message that carries one descriptor, aligned as cmsg(3) asks for.
union descriptor_message {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

/// Sends `passed` through the Unix domain socket `channel`; the sender keeps its own descriptor. Throws
/// std::system_error: EPIPE, and no SIGPIPE, if the receiver has gone.
inline void send_descriptor(const unique_fd& channel, const unique_fd& passed) {
    // A descriptor travels with at least one byte of data.
    char byte = 0;
    iovec data{.iov_base = &byte, .iov_len = 1};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    // BEGIN SOLUTION: attach one control message SCM_RIGHTS with the number of the descriptor to pass.
    descriptor_message control{};
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof(int));
    const int number = passed.get();
    std::memcpy(CMSG_DATA(&control.header), &number, sizeof number);
    // END SOLUTION
    check("sendmsg", sendmsg(channel.get(), &message, MSG_NOSIGNAL));
}

/// Returns the next descriptor from `channel`, or nothing at its end of file. Throws std::system_error, and
/// std::runtime_error if what arrived carries no descriptor (the receiver may have no number free for it).
inline std::optional<unique_fd> receive_descriptor(const unique_fd& channel) {
    char byte = 0;
    iovec data{.iov_base = &byte, .iov_len = 1};
    descriptor_message control{};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    if (check("recvmsg", recvmsg(channel.get(), &message, MSG_CMSG_CLOEXEC)) == 0) return std::nullopt;
    int number = -1;
    // BEGIN SOLUTION: take the descriptor's number in this process from the control message, if there is one.
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    if (header != nullptr && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        std::memcpy(&number, CMSG_DATA(header), sizeof number);
    // END SOLUTION
    if (number == -1) throw std::runtime_error{"recvmsg: no descriptor in the message"};
    return unique_fd{number};
}
