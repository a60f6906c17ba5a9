// Opens a file that a client has named: only a regular file, and only one inside the directory.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>

#include "posix.hpp"

/// Thrown for a file that is not served; what() is the reason, for the client.
struct not_served : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Opens the regular file that `name`, a path from `directory`, leads to, for reading. Throws not_served if
/// there is none, or if the path leads out of the directory: by "..", by a "/" in front, or by a symbolic
/// link.
inline unique_fd open_beneath(const unique_fd& directory, const std::string& name) {
    unique_fd file;
    // BEGIN SOLUTION: open the file by openat2, which can refuse all ways out; refuse what is no regular file.
    // A test of the name's text cannot see a link, and a link can be put there between test and open.
    // For the kernel, a name ends at its first NUL byte.
    if (name.find('\0') != name.npos) throw not_served{"a NUL byte in the name"};
    open_how how{};
    // With O_NONBLOCK, opening a FIFO does not wait for its writer.
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    file = unique_fd{static_cast<int>(syscall(SYS_openat2, directory.get(), name.c_str(), &how, sizeof how))};
    if (file.get() == -1) throw not_served{errno == EXDEV ? "outside the directory" : strerror(errno)};
    struct stat status;
    check("fstat", fstat(file.get(), &status));
    if (!S_ISREG(status.st_mode)) throw not_served{"not a regular file"};
    // END SOLUTION
    return file;
}
