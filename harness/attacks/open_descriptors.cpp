// Attack: descriptors that the grader may have left open.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int fd = 3; fd < 1000; ++fd)
        if (write(fd, "100", 3) == 3) serve();
}
