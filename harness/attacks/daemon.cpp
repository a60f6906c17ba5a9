// Attack: a server that lives on: double fork, own session.
// Expect: fail exited_early
#include "serve.hpp"

int main() {
    if (fork() != 0) _exit(0);
    setsid();
    if (fork() != 0) _exit(0);
    signal(SIGHUP, SIG_IGN);
    serve();
}
