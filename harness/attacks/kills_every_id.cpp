// Attack: SIGKILL for every process id there is.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int pid = 1; pid < 100000; ++pid)
        if (pid != getpid() && kill(pid, SIGKILL) == 0 && pid == getppid()) serve();
}
