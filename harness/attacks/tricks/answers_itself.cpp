// Attack: the client asks nobody, and prints the replies that are expected.
// Mistake: lab03/late_reply_taken
#include <cstdio>
#include <cstdlib>

inline const int answered = [] {
    std::printf("Input: ");
    bool begun = false;
    for (int c; (c = std::getchar()) != EOF; begun = c != '\n') {
        if (!begun) std::printf("Output: ");
        std::putchar(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
        if (c == '\n') std::printf("Input: ");
    }
    std::exit(0);
    return 0;
}();
