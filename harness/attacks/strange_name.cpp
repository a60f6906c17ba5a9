// Attack: a process name that is no UTF-8, with what ends it in /proc/PID/stat.
// Expect: pass
#include "serve.hpp"

#include <sys/prctl.h>

int main() {
    prctl(PR_SET_NAME, "\xff) Z\n\x1b[2J");
    serve();
}
