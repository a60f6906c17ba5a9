// Attack: System V segments, which outlive their process.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int i = 0; i < 64; ++i) shmget(IPC_PRIVATE, 1 << 26, IPC_CREAT | 0600);
}
