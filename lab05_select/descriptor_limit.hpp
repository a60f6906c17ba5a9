// How many descriptors a process may have open: a server in one process needs one for each client.
#pragma once

#include <err.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "posix.hpp"

/// Raises this process's limit as far as an ordinary user may, from the soft to the hard limit, and returns
/// it; getrlimit(2).
inline int raise_descriptor_limit() {
    rlimit limit{};
    check("getrlimit", getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    check("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
    return static_cast<int>(std::min<rlim_t>(limit.rlim_cur, std::numeric_limits<int>::max()));
}

/// After a failed accept. Unless that client has gone again, the whole system is short of descriptors or
/// memory, and the next accept would fail at once (man 2 accept, "Error handling"): says so and rests, and
/// all clients wait. Not so in upper_server_poll.
inline void rest_if_short_of_descriptors() {
    if (errno == EAGAIN || errno == ECONNABORTED) return;
    warn("accept");
    sleep(1);
}
