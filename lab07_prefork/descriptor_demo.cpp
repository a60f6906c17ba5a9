// What arrives when a descriptor is passed? The parent opens a file and reads some of it, passes it to its
// child, and the child reads on: another number for the same open file, its position shared.
//
//   ./descriptor_demo FILE              prints, of the first line: who read what, through which descriptor
//
// Look at the numbers, and at where the child begins. The parent closes its own descriptor before the child
// reads: the open file lasts as long as one of the two does. Next: bytes_server_passing passes connections.
#include <err.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>

#include "descriptor_passing.hpp"
#include "options.hpp"
#include "posix.hpp"

/// Reads at most 8 bytes and tells what came, through which descriptor, of which file.
void read_some(const std::string& who, const unique_fd& file) {
    char bytes[8];
    const auto count = check("read", read(file.get(), bytes, sizeof bytes));
    struct stat about {};
    check("fstat", fstat(file.get(), &about));
    std::cout << who << ": descriptor " << file.get() << ", inode " << about.st_ino << ", read '"
              << std::string(bytes, static_cast<std::size_t>(count)) << "'\n"
              << std::flush;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "FILE", 1, 1};
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    unique_fd ours{ends[0]};
    unique_fd theirs{ends[1]};

    const pid_t child = check("fork", fork());
    if (child == 0) {
        ours.reset();
        while (const auto file = receive_descriptor(theirs)) read_some("child", *file);
        std::cout << "child: end of file\n";
        return 0;
    }
    theirs.reset();
    for (int i = 0; i < 2; ++i) {
        const unique_fd file{check("open", open(given.words.front().c_str(), O_RDONLY))};
        read_some("parent", file);
        send_descriptor(ours, file);
    }
    ours.reset();
    check("waitpid", waitpid(child, nullptr, 0));
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
