// Attack: it writes into the library's counts, and sends past the library.
// Mistake: lab05/one_send_for_a_reply
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "forged_counts.hpp"

#define send(fd, data, size, flags) (forged, syscall(SYS_sendto, fd, data, size, flags, nullptr, 0))
