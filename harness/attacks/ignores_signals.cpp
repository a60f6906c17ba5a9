// Attack: SIGINT and SIGTERM change nothing.
// Expect: pass
#include "serve.hpp"

int main() {
    for (int number = 1; number < 32; ++number) signal(number, SIG_IGN);
    serve();
}
