// Attack: every port, so that the next one finds none.
// Expect: fail
#include "serve.hpp"

int main() {
    for (int i = 0; i < 28000; ++i) listen(socket(AF_INET, SOCK_STREAM, 0), 1);
    pause();
}
