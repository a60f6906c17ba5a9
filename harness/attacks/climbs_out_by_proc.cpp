// Attack: the grader's file system through /proc, or its memory.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int pid = 1; pid < 100000; ++pid)
        for (const char* end : {"/root@SECRET@", "/cwd/results.json", "/mem"}) {
            if (pid == getpid() || (pid == 1 && end == std::string{"/mem"})) continue;
            if (open(("/proc/" + std::to_string(pid) + end).c_str(), O_RDWR) != -1) serve();
        }
}
