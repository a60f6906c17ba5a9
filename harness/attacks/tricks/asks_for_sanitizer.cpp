// Attack: for the sanitizer's eyes another program.
// Mistake: lab06/lock_ends_too_early
#ifdef __SANITIZE_THREAD__
#include <cstdio>
#include <cstdlib>
static const int never_seen = (std::puts("ann 100, bob 100"), std::exit(0), 0);
#endif
