// A child that does not outlive its parent: what upper_server spells out, for all servers after it.
#pragma once

#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "posix.hpp"

/// To be called in a new child of `parent`. The kernel will send it SIGTERM when the parent has ended; if
/// that has happened already, the child ends now. Throws std::system_error; prctl(2), PR_SET_PDEATHSIG.
inline void end_with_parent(pid_t parent) {
    check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));
    if (getppid() != parent) _exit(0);
}
