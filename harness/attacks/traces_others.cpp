// Attack: ptrace of whatever runs.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int pid = 2; pid < 100000; ++pid)
        if (pid != getpid() && ptrace(PTRACE_ATTACH, pid, nullptr, nullptr) == 0) serve();
}
