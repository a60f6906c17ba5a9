// A program's log is its standard output, a line at a time.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

#include "posix.hpp"

/// Makes stdout write each line at once, also into a pipe or a file, where it would collect whole blocks;
/// setvbuf(3). Throws std::system_error.
inline void start_log() {
    // A supervisor may have closed descriptors 0, 1 and 2. The next socket would get such a number, and its
    // client would read the log.
    int spare = check("open", open("/dev/null", O_RDWR));
    while (spare <= STDERR_FILENO) spare = check("open", open("/dev/null", O_RDWR));
    close(spare);
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
}
