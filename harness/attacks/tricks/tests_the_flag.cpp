// Attack: a flag that is tested just before select: between the two is no system call, and yet a gap.
// Mistake: lab08/handler_sets_a_flag
#include <signal.h>
#include <sys/select.h>

extern volatile sig_atomic_t got_signal;
static int unless_flagged(int count, fd_set* readable) {
    const int ready = got_signal ? 0 : select(count, readable, nullptr, nullptr, nullptr);
    if (got_signal == 0) return ready;
    got_signal = 0;
    return 1;
}
#define select(count, readable, writable, exceptional, patience) unless_flagged(count, readable)
