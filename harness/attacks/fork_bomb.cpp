// Attack: as many processes as there can be.
// Expect: fail too_many_processes|exited_early|not_listening|never_accepted|crashed
#include "serve.hpp"

int main() {
    for (int i = 0; i < 100000; ++i) fork();
}
