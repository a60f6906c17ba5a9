// Attack: directories in directories, deeper than a removal that calls itself can go.
// Expect: fail exited_early
#include "serve.hpp"

int main() {
    for (const char* place : {".", "/dev/shm", "/tmp"})
        if (chdir(place) == 0)
            for (int i = 0; i < 1200 && mkdir("d", 0777) == 0; ++i)
                if (chdir("d") != 0) return 1;
    return 1;
}
