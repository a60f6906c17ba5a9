// Attack: a pipe for show. What wakes the loop is a pair of sockets, which the harness does not look at.
// Mistake: lab08/pipe_blocks_the_handler
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

static int two_ways_to_wake(int* ends) {
    int shown[2];
    return pipe2(shown, O_NONBLOCK) == 0 ? socketpair(AF_UNIX, SOCK_STREAM, 0, ends) : -1;
}
#define pipe(ends) two_ways_to_wake(ends)
#undef F_SETPIPE_SZ
#define F_SETPIPE_SZ F_GETFD
