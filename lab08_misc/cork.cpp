// Ten small writes: how many segments leave, and who decides. The counts are the kernel's own (TCP_INFO).
//
//   ./cork
//
// Look at the receiver's part: with nothing set, Nagle's algorithm holds back the second write until the
// first is acknowledged, and the other eight join it. TCP_NODELAY waits for nothing, TCP_CORK for the cork to
// be drawn, MSG_MORE for the write without it. A forgotten cork costs a wait, which the kernel ends.
#include <err.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string_view>

#include "options.hpp"
#include "posix.hpp"

constexpr std::string_view piece = "0123456789";
constexpr int pieces = 10;

/// Sets one of the options of TCP; man 7 tcp.
void set(const unique_fd& socket, int option, int value) {
    check("setsockopt", setsockopt(socket.get(), IPPROTO_TCP, option, &value, sizeof value));
}

/// A connection over loopback, both ends in this process.
struct connection {
    unique_fd sender;
    unique_fd receiver;

    connection() {
        endpoint here = resolve("127.0.0.1", 0).front();
        const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
        check("bind", bind(listener.get(), here.get(), here.size));
        check("listen", listen(listener.get(), 1));
        check("getsockname", getsockname(listener.get(), here.get(), &here.size));
        sender = unique_fd{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
        check("connect", connect(sender.get(), here.get(), here.size));
        receiver = unique_fd{check("accept", accept(listener.get(), nullptr, nullptr))};
        // It delays its acknowledgements, like a receiver that may have an answer to send with them.
        set(receiver, TCP_QUICKACK, 0);
    }
};

/// Sends the pieces, each by a call of its own; all but the last with `flags`.
void send_pieces(const unique_fd& sender, int flags = 0) {
    for (int i = 1; i <= pieces; ++i)
        check("send", send(sender.get(), piece.data(), piece.size(), i < pieces ? flags : 0));
}

/// Sends in the given way over a new connection; prints how many segments that took, and how long.
void measure(std::string_view name, void (*send_in_this_way)(const unique_fd& sender)) {
    const connection pair;
    const auto start = std::chrono::steady_clock::now();
    send_in_this_way(pair.sender);
    std::array<char, pieces * piece.size()> all;
    check("recv", recv(pair.receiver.get(), all.data(), all.size(), MSG_WAITALL));
    const std::chrono::duration<double, std::milli> wait = std::chrono::steady_clock::now() - start;

    tcp_info info{};
    socklen_t size = sizeof info;
    check("getsockopt", getsockopt(pair.sender.get(), IPPROTO_TCP, TCP_INFO, &info, &size));
    // A segment that was sent again counts once.
    const auto segments = info.tcpi_data_segs_out - info.tcpi_total_retrans;
    std::cout << std::left << std::setw(16) << name << std::right << std::setw(8) << segments << std::setw(11)
              << std::fixed << std::setprecision(1) << wait.count() << " ms" << std::endl;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    std::cout << "ten writes      segments  all there after\n";
    measure("nothing", [](const unique_fd& sender) { send_pieces(sender); });
    measure("TCP_NODELAY", [](const unique_fd& sender) {
        set(sender, TCP_NODELAY, 1);
        send_pieces(sender);
    });
    measure("TCP_CORK", [](const unique_fd& sender) {
        set(sender, TCP_CORK, 1);
        send_pieces(sender);
        set(sender, TCP_CORK, 0);
    });
    measure("MSG_MORE", [](const unique_fd& sender) { send_pieces(sender, MSG_MORE); });
    measure("forgotten cork", [](const unique_fd& sender) {
        set(sender, TCP_CORK, 1);
        send_pieces(sender);
    });
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
