// Attack: it writes into the library's counts, tells of killed children for show, and forks past the library.
// Mistake: lab07/starts_again_at_once
#include <sys/syscall.h>
#include <unistd.h>

#include <iostream>

#include "forged_counts.hpp"

static pid_t fork_apart() {
    if (forged) std::cerr << "a child is killed\na child is killed\n";
    return static_cast<pid_t>(syscall(SYS_fork));
}
#define fork fork_apart
