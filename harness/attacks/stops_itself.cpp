// Attack: a process that is stopped instead of ended.
// Expect: fail not_listening
#include "serve.hpp"

int main() {
    raise(SIGSTOP);
    serve();
}
