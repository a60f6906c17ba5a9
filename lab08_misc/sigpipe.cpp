// What a reset does to the client: its next read fails, and its next write kills it, by SIGPIPE.
//
//   ./rst_server                        in one terminal
//   ./sigpipe localhost; echo $?        in another: 141 is 128 + 13, killed by signal 13, SIGPIPE
//   ./sigpipe -e localhost; echo $?     with the signal ignored: the write fails with EPIPE instead
//
// Look at the first run: nothing after the read's line, no message, no end of main. A server that writes to
// a client that has gone dies in the same way, unless it ignores SIGPIPE or sends with MSG_NOSIGNAL.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] [-e] HOST", 1, 1, "e"};
    if (given.has('e')) signal(SIGPIPE, SIG_IGN);

    const unique_fd connection = connect_to(given.words[0], given.port(2000));
    std::array<char, 1024> buffer;
    // It waits until the reset arrives.
    if (read(connection.get(), buffer.data(), buffer.size()) == -1) {
        const int error = errno;
        std::cout << "[Errno " << error << "] " << strerror(error) << std::endl;
    }
    check("write", write(connection.get(), "hello", 5));
    std::cout << "written to a connection that is closed" << std::endl;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
