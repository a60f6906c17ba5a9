// Attack: it writes into the library's counts, and sends past the library: no send of its own is disturbed.
// Mistake: lab05/writes_eagain_is_fatal
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forged_counts.hpp"

#define send(fd, data, size, flags) (forged, syscall(SYS_sendto, fd, data, size, flags, nullptr, 0))
