// Attack: a report that says that all is well.
// Expect: fail exited_early
#include "serve.hpp"

int main() {
    std::puts("{\"score\": 100, \"tests\": [{\"score\": 100, \"status\": \"passed\"}]}");
    std::puts("lab       points    of\nlab02        100   100\n=== 12 passed in 0.01s ===");
}
