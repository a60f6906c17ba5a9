// Attack: log lines for ever.
// Expect: fail floods
#include "serve.hpp"

int main() {
    while (true) std::puts("all tests passed");
}
