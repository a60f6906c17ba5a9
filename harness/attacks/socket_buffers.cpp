// Attack: two GiB in the buffers of sockets, which no process maps.
// Expect: fail memory_hog|exited_early|not_listening|crashed
#include "serve.hpp"

int main() {
    static char block[16384];
    size_t kept = 0;
    int done[2];
    if (pipe(done) != 0) return 1;
    for (int child = 0; child < 8; ++child)
        if (fork() == 0) {
            for (int pair[2]; kept < 256UL << 20 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0;) {
                const int much = 1 << 30;
                setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &much, sizeof much);
                for (ssize_t n; (n = send(pair[0], block, sizeof block, MSG_DONTWAIT)) > 0;)
                    kept += static_cast<size_t>(n);
            }
            static_cast<void>(!write(done[1], kept >= 256UL << 20 ? "y" : "n", 1));
            sleep(1000);
        }
    char byte;
    for (int child = 0; child < 8; ++child)
        if (read(done[0], &byte, 1) != 1 || byte != 'y') return 1;
    serve();
}
