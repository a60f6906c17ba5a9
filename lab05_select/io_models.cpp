// Five ways to wait for the same bytes, and what the process does meanwhile: the I/O models.
//
//   ./io_models blocking                and nonblocking, select, sigio, aio
//   strace -f ./io_models sigio         the calls themselves
//
// A child process sends three words, -d 0.1 seconds apart, and closes. Look at which model sleeps, which asks
// again and again, and which does other work meanwhile; and at the calls: with aio the bytes are in the
// buffer when the signal comes, all others still need a recv. The next program is select_urgent: select's
// third set.
#include <aio.h>
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

// SIGIO has come: there may be something to receive.
volatile sig_atomic_t news = 0;
extern "C" void on_news(int) {
    news = 1;
}

std::array<char, 100> buffer;
// All words.
std::string received;
long recv_calls = 0;
long other_calls = 0;
// Microseconds of CPU.
std::clock_t working = 0;

/// Something else to do: a little arithmetic.
void work() {
    const std::clock_t begin = std::clock();
    volatile unsigned number = 1;
    for (int i = 0; i < 1000000; ++i) number = number * 1664525U + 1013904223U;
    working += std::clock() - begin;
}

/// Receives once; returns what recv does.
ssize_t receive(int fd) {
    ++recv_calls;
    const auto size = recv(fd, buffer.data(), buffer.size(), 0);
    if (size > 0) received.append(buffer.data(), static_cast<std::size_t>(size));
    if (size == -1 && errno != EAGAIN) check("recv", size);
    return size;
}

void blocking(int fd) {
    while (receive(fd) != 0) continue;
}

void nonblocking(int fd) {
    check("fcntl", fcntl(fd, F_SETFL, O_NONBLOCK));
    // -1, EAGAIN: nothing yet.
    while (receive(fd) != 0) continue;
}

void multiplexing(int fd) {
    do {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(fd, &readable);
        ++other_calls;
        check("select", select(fd + 1, &readable, nullptr, nullptr, nullptr));
    } while (receive(fd) != 0);
}

void signal_driven(int fd) {
    check("fcntl", fcntl(fd, F_SETOWN, getpid()));
    check("fcntl", fcntl(fd, F_SETFL, O_NONBLOCK | O_ASYNC));
    // What came before this has sent no signal.
    news = 1;
    for (ssize_t size = -1; size != 0;) {
        while (news == 0) work();
        // Before recv, since bytes that come after this line send another signal.
        news = 0;
        while ((size = receive(fd)) > 0) continue;
    }
}

void asynchronous(int fd) {
    aiocb request{};
    request.aio_fildes = fd;
    request.aio_buf = buffer.data();
    request.aio_nbytes = buffer.size();
    request.aio_sigevent.sigev_notify = SIGEV_SIGNAL;
    request.aio_sigevent.sigev_signo = SIGIO;
    for (ssize_t size = -1; size != 0;) {
        news = 0;
        ++other_calls;
        check("aio_read", aio_read(&request));
        while (news == 0) work();
        size = check("aio_return", aio_return(&request));
        received.append(buffer.data(), static_cast<std::size_t>(size));
    }
}

struct model {
    std::string_view name;
    void (*wait)(int fd);
    std::string_view meanwhile;
    std::string_view other_call;
};

constexpr std::array models{
    model{"blocking", blocking, "asleep in recv", ""},
    model{"nonblocking", nonblocking, "asking, again and again", ""},
    model{"select", multiplexing, "asleep in select", "select"},
    model{"sigio", signal_driven, "at work", ""},
    model{"aio", asynchronous, "at work", "aio_read"},
};

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "d", "[-d SECONDS] blocking|nonblocking|select|sigio|aio", 1, 1};
    const std::chrono::duration<double> pause{given.number('d', 0.1, 0.0, 60.0)};
    const auto chosen = std::ranges::find(models, given.words[0], &model::name);
    if (chosen == models.end()) given.wrong("no model is called '" + given.words[0] + "'");

    std::array<int, 2> ends{};
    check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends.data()));
    unique_fd here{ends[0]};
    unique_fd there{ends[1]};
    if (check("fork", fork()) == 0) {
        // The sender.
        here.reset();
        for (const std::string_view word : {"three ", "short ", "words"}) {
            std::this_thread::sleep_for(pause);
            if (send(there.get(), word.data(), word.size(), MSG_NOSIGNAL) == -1) _exit(1);
        }
        _exit(0);
    }
    there.reset();

    struct sigaction action = {};
    action.sa_handler = on_news;
    check("sigaction", sigaction(SIGIO, &action, nullptr));
    const std::clock_t begin = std::clock();
    chosen->wait(here.get());
    const std::clock_t waiting = std::clock() - begin - working;
    std::cout << "received:   " << received << "\nmeanwhile:  " << chosen->meanwhile << "\ncalls:      ";
    if (other_calls > 0) std::cout << chosen->other_call << ' ' << other_calls << ", ";
    std::cout << "recv " << recv_calls << "\nCPU:        " << waiting / 1000 << " ms for waiting, "
              << working / 1000 << " ms for other work\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
