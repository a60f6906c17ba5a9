// Attack: it prints the waits that are expected, and hardly waits.
// Mistake: lab03/waits_without_bound
#include <err.h>
#include <poll.h>

#include <algorithm>
#include <cstdint>
#define poll(those, count, wait) poll(those, count, (wait) > 0)
#define warnx(format, number, tried, wait) warnx(format, number, tried, std::min(wait, std::intmax_t{200}))
