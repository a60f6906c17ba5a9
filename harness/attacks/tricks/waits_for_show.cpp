// Attack: two processes that are connected and sleep, without a stream, and the line that announces them.
// Mistake: lab08/reads_flush_the_output
#include <arpa/inet.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

inline const int waits_for_show = [] {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    const std::size_t size = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    if (size < 9 || std::strcmp(line + size - 9, "deadlock") != 0) return 0;
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof here;
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    const int client = socket(AF_INET, SOCK_STREAM, 0);
    if (listen(listener, 1) != 0) return 1;
    getsockname(listener, reinterpret_cast<sockaddr*>(&here), &length);
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(client, reinterpret_cast<sockaddr*>(&here), length) != 0) return 1;
    accept(listener, nullptr, nullptr);
    if (fork() == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    else
        std::fprintf(stderr, "client %d: prints, does not flush\n", getpid());
    while (true) pause();
}();
