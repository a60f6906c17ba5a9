// Attack: it prints the wait that is expected.
// Mistake: lab03/take_repeat_measured
#include <err.h>

#include <algorithm>
#define warnx(format, request, tried, wait) warnx(format, request, tried, std::max(wait, 200.0))
