// Two processes and one loopback connection, 64 bytes there and back: the bound for any server with one
// client.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>

int main(int, char* argv[]) {
    sockaddr_in here{};
    here.sin_family = AF_INET;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof here;
    auto* address = reinterpret_cast<sockaddr*>(&here);
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(listener, address, size) == -1 || listen(listener, 1) == -1) return 1;
    getsockname(listener, address, &size);
    char bytes[64] = {};
    if (fork() == 0) {
        const int connection = accept(listener, nullptr, nullptr);
        while (read(connection, bytes, sizeof bytes) > 0)
            if (write(connection, bytes, sizeof bytes) != sizeof bytes) break;
        _exit(0);
    }
    const int connection = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(connection, address, size) == -1) return 1;
    for (int left = std::atoi(argv[1]); left > 0; --left)
        if (write(connection, bytes, sizeof bytes) != sizeof bytes ||
            read(connection, bytes, sizeof bytes) <= 0)
            return 1;
}
