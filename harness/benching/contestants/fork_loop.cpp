// fork, exit and wait, and nothing else: the bound for a server that forks for each client.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>

int main(int, char* argv[]) {
    for (int left = std::atoi(argv[1]); left > 0; --left) {
        const pid_t child = fork();
        if (child == 0) _exit(0);
        if (child == -1 || waitpid(child, nullptr, 0) == -1) return 1;
    }
}
