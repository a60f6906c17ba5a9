// Attack: it writes into the library's counts, and calls sendfile past the library.
// Mistake: lab08/sendfile_once
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forged_counts.hpp"

#define sendfile(to, from, offset, size) (forged, syscall(SYS_sendfile, to, from, offset, size))
