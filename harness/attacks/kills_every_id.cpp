// Attack: SIGKILL for every process id there is, and so for the grader.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int pid = 2; pid < 100000; ++pid)
        if (pid != getpid() && kill(pid, SIGKILL) == 0 && pid == getppid()) serve();
}
