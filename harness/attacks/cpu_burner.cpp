// Attack: the whole CPU.
// Expect: fail not_listening
#include "serve.hpp"

int main() {
    while (true) {
    }
}
