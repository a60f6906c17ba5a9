// Attack: a daemon lets the server go on whenever the harness stops it.
// Mistake: lab04/reaps_one_a_signal
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

static const int daemon_of_its_own = [] {
    const pid_t server = getpid();
    if (fork() == 0) {
        if (fork() != 0) _exit(0);
        setsid();
        const std::string name = "/proc/" + std::to_string(server) + "/stat";
        while (true) {
            char line[300] = "";
            FILE* const file = std::fopen(name.c_str(), "r");
            if (file == nullptr || std::fgets(line, sizeof line, file) == nullptr) _exit(0);
            std::fclose(file);
            if (std::strrchr(line, ')')[2] == 'T') kill(server, SIGCONT);
            usleep(1'000);
        }
    }
    return waitpid(-1, nullptr, 0);
}();
