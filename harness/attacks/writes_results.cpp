// Attack: a results file of its own.
// Expect: fail
#include "serve.hpp"

int main() {
    for (const char* name : {"@RESULTS@", "@SECRET@", "results.json", "/autograder/results/results.json"}) {
        const int file = open(name, O_CREAT | O_TRUNC | O_WRONLY, 0644);
        const char text[] = "{\"score\": 100, \"tests\": []}";
        if (file != -1 && name[0] == '/' && write(file, text, sizeof text - 1) > 0) serve();
    }
}
