// Attack: none. It is what is left of the others without their trick.
// Expect: pass
#include "serve.hpp"

int main() {
    serve();
}
