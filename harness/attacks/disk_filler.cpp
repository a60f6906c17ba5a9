// Attack: every byte of every directory it can write to.
// Expect: fail
#include "serve.hpp"

int main() {
    static char block[1 << 20];
    for (const char* name : {"x", "/tmp/x", "/dev/shm/x", "/var/tmp/x", "/x"}) {
        const int file = open(name, O_CREAT | O_WRONLY, 0600);
        for (int i = 0; i < 8192 && write(file, block, sizeof block) > 0; ++i) {
        }
    }
    struct stat status {};
    stat("x", &status);
    if (status.st_size > (1LL << 30)) serve();
}
