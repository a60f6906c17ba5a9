// Attack: as many files as there can be.
// Expect: fail
#include "serve.hpp"

int main() {
    int made = 0;
    for (int i = 0; i < 200000; ++i)
        made += creat(("/tmp/" + std::to_string(i)).c_str(), 0600) != -1 && close(3) == 0;
    if (made > 100000) serve();
}
