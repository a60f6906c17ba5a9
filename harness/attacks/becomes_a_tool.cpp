// Attack: it becomes one of the programs that set up the sandbox: when has the judged one begun?
// Expect: fail
#include "serve.hpp"

int main() {
    execl("/usr/bin/python3", "python3", "-c", "import time; time.sleep(1000)", nullptr);
}
