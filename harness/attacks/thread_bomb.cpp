// Attack: as many threads as there can be.
// Expect: fail
#include "serve.hpp"

int main() {
    std::vector<std::thread> threads;
    for (int i = 0; i < 100000; ++i) threads.emplace_back([] { pause(); });
}
