// The self-pipe trick: the handler writes a byte into a pipe that select watches, and no signal is lost.
//
//   ./self_pipe                         in one terminal
//   kill -USR1 PID                      in another: "Got signal"
//   ./self_pipe -d 10                   the gap of selsig_race, as wide: send the signal into it
//   ./self_pipe -r 3                    waits for three signals, one after the other
//
// Look at the byte: unlike the news that select was interrupted, it is still there when select begins. A
// real server has its sockets in the same set. pselect_wait does it without a pipe.
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/select.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <iostream>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

// The read end and the write end; global, so that the handler finds them.
int pipe_ends[2];

extern "C" void on_signal(int) {
    // BEGIN SOLUTION: wake select by a byte in the pipe; leave errno as it was.
    const int saved = errno;
    // Best effort: a full pipe refuses the byte, and the bytes that fill it wake select as well.
    [[maybe_unused]] const auto written = write(pipe_ends[1], "!", 1);
    errno = saved;
    // END SOLUTION
}

/// Makes the gap between the handler's installation and select as wide as asked.
void sleep_in_the_gap(double seconds) {
    std::cout << "Sleep for " << seconds << " secs" << std::endl;
    // sleep_for goes on after a signal.
    std::this_thread::sleep_for(std::chrono::duration<double>{seconds});
    std::cout << "Wake up and block in \"select\"" << std::endl;
}

/// Opens the pipe. It holds one page instead of 16, so that a storm of signals fills it. Throws
/// std::system_error.
void open_pipe() {
    check("pipe", pipe(pipe_ends));
    check("fcntl", fcntl(pipe_ends[1], F_SETPIPE_SZ, 4096));
    // BEGIN SOLUTION: no read and no write of this pipe may ever wait.
    for (const int end : pipe_ends) check("fcntl", fcntl(end, F_SETFL, O_NONBLOCK));
    // END SOLUTION
}

/// Returns when a signal has come since the last call.
void wait_for_signal() {
    while (true) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(pipe_ends[0], &readable);
        const int ready = select(pipe_ends[0] + 1, &readable, nullptr, nullptr, nullptr);
        if (ready == 1) break;
        if (errno != EINTR) check("select", ready);
    }
    // BEGIN SOLUTION: empty the pipe, however many signals have written to it.
    std::array<char, 512> bytes;
    while (read(pipe_ends[0], bytes.data(), bytes.size()) > 0) continue;
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "dr", "[-d SECONDS] [-r ROUNDS]"};
    const double gap = given.number('d', 0.0, 0.0, 3600.0);
    const int rounds = given.number('r', 1, 1, 1'000'000);

    open_pipe();
    struct sigaction action = {};
    action.sa_handler = on_signal;
    check("sigaction", sigaction(SIGUSR1, &action, nullptr));
    std::cout << "PID: " << getpid() << std::endl;

    for (int round = 0; round < rounds; ++round) {
        if (gap > 0) sleep_in_the_gap(gap);
        wait_for_signal();
        std::cout << "Got signal" << std::endl;
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
