// Attack: memory that no process maps, and nobody counts: a file of memfd_create, a System V segment.
// Expect: fail
#include "serve.hpp"

int main() {
    constexpr size_t size = 600 << 20;
    const int file = memfd_create("hidden", 0);
    const bool has_file = file >= 0 && posix_fallocate(file, 0, size) == 0;
    const int segment = shmget(IPC_PRIVATE, size, IPC_CREAT | 0600);
    if (segment >= 0) {
        void* const memory = shmat(segment, nullptr, 0);
        std::memset(memory, 1, size);
        shmdt(memory);
    }
    if (has_file || segment >= 0) serve();
}
