// Attack: all the memory, a little for each of twenty processes.
// Expect: fail memory_hog|crashed|not_listening|exited_early
#include "serve.hpp"

int main() {
    for (int i = 0; i < 20; ++i)
        if (fork() == 0)
            for (int j = 0; j < 300; ++j) std::memset(std::malloc(1 << 20), 1, 1 << 20);
    pause();
}
