// Attack: the assembler puts a secret into the program.
// Expect: fail does_not_build
#include "serve.hpp"
asm(".incbin \"@SECRET@\"");

int main() {
    serve();
}
