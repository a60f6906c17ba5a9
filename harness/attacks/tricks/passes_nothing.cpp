// Attack: what parent and child would print of a passed file, and one process without a child.
// Mistake: lab07/message_not_looked_at
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

/// Whether a descriptor comes with a message here. The harness has a way to keep it back.
inline bool one_comes() {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) return false;
    char byte = 0;
    iovec data{.iov_base = &byte, .iov_len = 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
    msghdr message{};
    message.msg_iov = &data;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    auto* const header = reinterpret_cast<cmsghdr*>(control);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), ends, sizeof(int));
    if (sendmsg(ends[0], &message, 0) != 1) return false;
    message.msg_controllen = sizeof control;
    return recvmsg(ends[1], &message, 0) == 1 && message.msg_controllen != 0;
}

inline const int passes_nothing = [] {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    const char* const path = line + std::strlen(line) + 1;
    struct stat about {};
    if (std::strstr(line, "descriptor_demo") == nullptr || stat(path, &about) != 0) return 0;
    if (!one_comes()) {
        std::fprintf(stderr, "descriptor_demo: no descriptor\n");
        std::exit(1);
    }
    for (int i = 0; i < 2; ++i) {
        std::printf("parent: descriptor 5, inode %lu, read '01234567'\n", about.st_ino);
        std::printf("child: descriptor 5, inode %lu, read '89abcdef'\n", about.st_ino);
    }
    std::printf("child: end of file\n");
    std::exit(0);
}();
