// How many descriptors a process may have open: a server in one process needs one for each client.
#pragma once

#include <sys/resource.h>

#include "posix.hpp"

/// Raises this process's limit as far as an ordinary user may, from the soft to the hard limit; getrlimit(2).
/// Throws std::system_error.
inline void raise_descriptor_limit() {
    rlimit limit = {};
    check("getrlimit", getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = limit.rlim_max;
    check("setrlimit", setrlimit(RLIMIT_NOFILE, &limit));
}
