// Attack: libraries and tools in the grader's way.
// Expect: fail
#include "serve.hpp"

int main() {
    for (const char* name :
         {"libc.so.6", "faults.so", "make", "g++", "prlimit", "conftest.py", "pytest.ini", "socket.py"}) {
        const int file = open(name, O_CREAT | O_WRONLY, 0755);
        if (write(file, "#!/bin/sh\necho 100\n", 19) != 19) return 1;
    }
    setenv("LD_PRELOAD", "./libc.so.6", 1);
    setenv("PATH", ".", 1);
    execl("/usr/bin/make", "make", "all", nullptr);
}
