// What a reset does to the client: its next read fails, and its next write kills it, by SIGPIPE.
//
//   ./rst_server                        in one terminal
//   ./sigpipe localhost; echo $?        in another: 141 is 128 + 13, killed by signal 13, SIGPIPE
//   ./sigpipe -e localhost; echo $?     with the signal ignored: the write fails with EPIPE instead
//
// Look at the first run: nothing after the read's line, no message, no end of main. A server that writes to
// a client who has gone dies in the same way, unless it ignores SIGPIPE or sends with MSG_NOSIGNAL.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>

#include "options.hpp"
#include "posix.hpp"

/// Returns a socket that is connected to `host`. Throws std::system_error if none of its addresses answers.
unique_fd connect_to(const std::string& host, int port) {
    for (const endpoint& there : resolve(host, port)) {
        unique_fd connection{socket(there.storage.ss_family, SOCK_STREAM, 0)};
        if (connection.get() == -1) continue;  // a kernel without IPv6, say, has 127.0.0.1 all the same
        if (connect(connection.get(), there.get(), there.size) == 0) return connection;
    }  // localhost, say, is [::1] and 127.0.0.1, and the server listens at one of them
    throw std::system_error{errno, std::generic_category(), "connect"};
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] [-e] HOST", 1, 1, "e"};
    if (given.has('e')) signal(SIGPIPE, SIG_IGN);

    const unique_fd connection = connect_to(given.words[0], given.port(2000));
    std::array<char, 1024> buffer;
    if (read(connection.get(), buffer.data(), buffer.size()) == -1) {  // waits until the reset is there
        const int error = errno;
        std::cout << "[Errno " << error << "] " << strerror(error) << std::endl;
    }
    check("write", write(connection.get(), "hello", 5));
    std::cout << "written, although nobody will read it" << std::endl;
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
