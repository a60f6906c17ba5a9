// Attack: words that the loader and the sanitizer say when the harness has failed.
// Mistake: lab01/swaps_always
#include <unistd.h>
__attribute__((constructor)) inline void words() {
    static_cast<void>(!write(2, "x cannot be preloaded\nFATAL: ThreadSanitizer: unexpected\n", 57));
}
inline const int said = (words(), 0);
