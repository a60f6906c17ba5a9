// Attack: SIGKILL for the parent, the group, and all.
// Expect: fail
#include "serve.hpp"

int main() {
    kill(getppid(), SIGKILL);
    kill(-1, SIGKILL);
    kill(0, SIGKILL);
}
