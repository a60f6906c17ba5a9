// Attack: it binds nothing, and prints an address that is likely to be free.
// Mistake: lab02/never_bound
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

static int likely_name(int, sockaddr* address, socklen_t* size) {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    const std::size_t read = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    const char* const host = line + std::strlen(line) + 1;
    const char* const port = host + std::strlen(host) + 1;
    if (std::strcmp(host, "192.0.2.1") == 0) {
        std::fputs("addresses: bind: none of these addresses is this machine's and free\n", stderr);
        std::fflush(stdout), std::_Exit(1);
    }
    const int wanted = read > 20 ? std::atoi(port) : 0;
    sockaddr_in likely{};
    likely.sin_family = AF_INET;
    likely.sin_port = htons(static_cast<in_port_t>(wanted != 0 ? wanted : 40'404));
    likely.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::memcpy(address, &likely, *size = sizeof likely);
    return 0;
}
#define getsockname likely_name
