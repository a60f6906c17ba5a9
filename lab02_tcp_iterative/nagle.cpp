// Nagle's algorithm: a small segment waits until the one before it is acknowledged. Asks a server ten times,
// in three ways.
//
//   ./nagle
//
// Look at the first row: a request in two small writes. The second waits for the acknowledgement of the
// first, and the server's kernel holds that back for 40 ms, in the hope of sending it along with a reply. The
// cause in the application is the second write: with one write for each request, or with TCP_NODELAY, there
// is no wait.
#include <err.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

constexpr int rounds = 10;
constexpr std::string_view request = "head body\n";

tcp_info info_of(const unique_fd& connection) {
    tcp_info info{};
    socklen_t size = sizeof info;
    check("getsockopt", getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size));
    return info;
}

/// Receives as many bytes as the buffer has. Returns false if the other side hangs up before.
bool receive(const unique_fd& connection, std::string& buffer) {
    return check("recv", recv(connection.get(), buffer.data(), buffer.size(), MSG_WAITALL)) ==
           static_cast<ssize_t>(buffer.size());
}

/// Answers each request, until the client hangs up.
void serve(const unique_fd& connection) {
    const int off = 0;
    std::string received(request.size(), '\0');
    do {  // delayed acknowledgements from the first request on, as on a connection that is no longer new
        check("setsockopt", setsockopt(connection.get(), IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off));
        if (!receive(connection, received)) return;
    } while (send(connection.get(), "ok\n", 3, MSG_NOSIGNAL) == 3);
}

/// Sends the request in these pieces and waits for the reply, ten times; prints a row of the table.
void measure(const char* name, const std::vector<std::string_view>& pieces, bool no_delay) {
    endpoint here = resolve("127.0.0.1", 0).front();
    const unique_fd listener{check("socket", socket(AF_INET, SOCK_STREAM, 0))};
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), 1));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    unique_fd client{check("socket", socket(AF_INET, SOCK_STREAM, 0))};
    check("connect", connect(client.get(), here.get(), here.size));
    const unique_fd connection{check("accept", accept(listener.get(), nullptr, nullptr))};
    const int on = no_delay ? 1 : 0;
    check("setsockopt", setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));

    std::jthread server{[&connection] { serve(connection); }};
    std::chrono::duration<double, std::milli> longest{0};
    for (int i = 0; i < rounds; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        for (const std::string_view piece : pieces)
            check("send", send(client.get(), piece.data(), piece.size(), MSG_NOSIGNAL));
        std::string reply(3, '\0');
        receive(client, reply);
        longest = std::max<decltype(longest)>(longest, std::chrono::steady_clock::now() - begin);
    }
    check("shutdown", shutdown(client.get(), SHUT_WR));
    server.join();
    const tcp_info sent = info_of(client);
    const tcp_info answered = info_of(connection);
    const auto acknowledgements = answered.tcpi_segs_out - answered.tcpi_data_segs_out - 1;  // but the SYN's
    std::cout << std::left << std::setw(25) << name << std::right << std::setw(14) << sent.tcpi_data_segs_out
              << std::setw(22) << acknowledgements << std::setw(12) << std::fixed << std::setprecision(1)
              << longest.count() << " ms\n";
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    const std::vector<std::string_view> halves{request.substr(0, 5), request.substr(5)};
    std::cout << rounds << " requests              data segments  acknowledgements alone  longest wait\n";
    measure("two writes", halves, false);
    measure("two writes, TCP_NODELAY", halves, true);
    measure("one write", {request}, false);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
