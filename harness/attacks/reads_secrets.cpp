// Attack: files of the grader: the reference, the results, others' work, passwords.
// Expect: fail
#include "serve.hpp"

int main() {
    for (const char* name : {"@SECRET@", "@REFERENCE@", "@RESULTS@", "/etc/shadow", "/root/.ssh/id_rsa"})
        if (open(name, O_RDONLY) != -1) serve();
}
