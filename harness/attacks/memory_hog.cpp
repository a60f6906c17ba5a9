// Attack: all the memory.
// Expect: fail memory_hog
#include "serve.hpp"

int main() {
    while (true) std::memset(std::malloc(1 << 20), 1, 1 << 20);
}
