// Attack: processes that all fork for ever.
// Expect: fail
#include "serve.hpp"

int main() {
    while (true) fork();
}
