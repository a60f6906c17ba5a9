// Opens a file that a stranger has named: only a plain file, and only one that lies inside the folder.
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

/// Opens the plain file that `name`, a path from `folder`, leads to, for reading. Throws not_served if there
/// is none, or if the path leads out of the folder: by "..", by a "/" in front, or by a symbolic link.
inline unique_fd open_beneath(const unique_fd& folder, const std::string& name) {
    unique_fd file;
    // BEGIN SOLUTION: open the file by openat2, which can refuse all ways out; refuse what is no plain file.
    // A test of the name's text cannot see a link, and a link can be put there between test and open.
    if (name.find('\0') != name.npos) throw not_served{"a NUL byte in the name"};  // c_str() would end there
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;  // O_NONBLOCK: opening a FIFO does not wait for its writer
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    file = unique_fd{static_cast<int>(syscall(SYS_openat2, folder.get(), name.c_str(), &how, sizeof how))};
    if (file.get() == -1) throw not_served{errno == EXDEV ? "outside the folder" : strerror(errno)};
    struct stat status;
    check("fstat", fstat(file.get(), &status));
    if (!S_ISREG(status.st_mode)) throw not_served{"not a plain file"};
    // END SOLUTION
    return file;
}
