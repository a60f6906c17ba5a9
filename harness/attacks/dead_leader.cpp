// Attack: memory of a process whose main thread has ended: /proc/PID/statm says 0, and its state is Z.
// Expect: fail memory_hog
#include "serve.hpp"

#include <pthread.h>

int main() {
    const int listener = listen_somewhere();
    int done[2];
    if (pipe(done) != 0) return 1;
    if (fork() == 0) {
        std::thread([&done] {
            const size_t hog = 2UL << 30;
            char* const p = static_cast<char*>(
                mmap(nullptr, hog, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
            for (size_t i = 0; i < hog; i += 4096) p[i] = 1;
            static_cast<void>(!write(done[1], "x", 1));
            sleep(1000);
        }).detach();
        pthread_exit(nullptr);
    }
    close(done[1]);
    char byte;
    if (read(done[0], &byte, 1) == 1) serve_at(listener);
    _exit(1);
}
