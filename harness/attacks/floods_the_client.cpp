// Attack: an answer without end, for the harness to keep.
// Expect: fail
#include "serve.hpp"

int main() {
    const int listener = listen_somewhere();
    static char block[1 << 16] = "HELLO, WORLD\n";
    while (true) {
        const int connection = accept(listener, nullptr, nullptr);
        while (send(connection, block, sizeof block, MSG_NOSIGNAL) > 0) continue;
        close(connection);
    }
}
