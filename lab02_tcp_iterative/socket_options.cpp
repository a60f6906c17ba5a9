// Socket options: what the kernel sets by itself, what was asked for, and what the kernel made of it.
//
//   ./socket_options
//
// Look at the rows where the last two columns differ: SO_RCVBUF and SO_SNDBUF are doubled (the kernel's own
// book-keeping takes the other half), and what is too large or too small becomes the nearest value allowed.
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

struct option {
    const char* name;
    int type;  // of the socket: TCP or UDP
    int level;
    int number;
    int wanted;
    const char* meaning;
};

constexpr std::array table{
    option{"SO_REUSEADDR", SOCK_STREAM, SOL_SOCKET, SO_REUSEADDR, 1,
           "bind although old connections use the port"},
    option{"SO_KEEPALIVE", SOCK_STREAM, SOL_SOCKET, SO_KEEPALIVE, 1,
           "ask a silent other side whether it is there"},
    option{"SO_BROADCAST", SOCK_DGRAM, SOL_SOCKET, SO_BROADCAST, 1, "allow datagrams to everybody"},
    option{"SO_RCVBUF", SOCK_STREAM, SOL_SOCKET, SO_RCVBUF, 10000, "bytes received and not yet read"},
    option{"SO_SNDBUF", SOCK_STREAM, SOL_SOCKET, SO_SNDBUF, 10000, "bytes sent and not yet acknowledged"},
    option{"SO_RCVLOWAT", SOCK_STREAM, SOL_SOCKET, SO_RCVLOWAT, 100, "bytes that a recv waits for"},
    option{"TCP_NODELAY", SOCK_STREAM, IPPROTO_TCP, TCP_NODELAY, 1, "small segments at once: see nagle"},
    option{"TCP_MAXSEG", SOCK_STREAM, IPPROTO_TCP, TCP_MAXSEG, 1000, "bytes in a segment, at most"},
    option{"TCP_KEEPIDLE", SOCK_STREAM, IPPROTO_TCP, TCP_KEEPIDLE, 60,
           "seconds of silence before SO_KEEPALIVE asks"},
    option{"TCP_KEEPCNT", SOCK_STREAM, IPPROTO_TCP, TCP_KEEPCNT, 3,
           "unanswered questions that mean it is gone"},
};

int value_of(const unique_fd& sock, const option& row) {
    int value = 0;
    socklen_t size = sizeof value;
    check("getsockopt", getsockopt(sock.get(), row.level, row.number, &value, &size));
    return value;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    std::cout << "option         default      set   is now  what it is for\n";
    for (const option& row : table) {
        const unique_fd sock{check("socket", socket(AF_INET, row.type, 0))};
        const int before = value_of(sock, row);
        check("setsockopt", setsockopt(sock.get(), row.level, row.number, &row.wanted, sizeof row.wanted));
        std::cout << std::left << std::setw(13) << row.name << std::right << std::setw(9) << before
                  << std::setw(9) << row.wanted << std::setw(9) << value_of(sock, row) << "  " << row.meaning
                  << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
