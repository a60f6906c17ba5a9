// listen(3): what happens to clients that nobody accepts. Starts a listener and six clients in one process.
//
//   ./backlog
//   ./backlog -l 0 -n 3
//   ./backlog -o -n 3                   handshakes stay half open until the client's first byte
//
// Look at the clients whose handshake is complete although nobody has accepted them, and count them: one more
// than the backlog. When that queue is full, Linux drops the client's first segment (SYN), and the client
// sends it again about a second later.
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <exception>
#include <fstream>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

tcp_info info_of(const unique_fd& connection) {
    tcp_info info{};
    socklen_t size = sizeof info;
    check("getsockopt", getsockopt(connection.get(), IPPROTO_TCP, TCP_INFO, &info, &size));
    return info;
}

std::string_view state_of(const unique_fd& connection) {
    const int state = info_of(connection).tcpi_state;
    return state == TCP_ESTABLISHED ? "ESTABLISHED" : state == TCP_SYN_SENT ? "SYN_SENT" : "another state";
}

/// Counts the handshakes with this port that the kernel has begun and not completed; proc(5), /proc/net/tcp.
int half_open(int port) {
    std::ifstream table{"/proc/net/tcp"};
    int count = 0;
    for (std::string number, local, remote, state, rest; table >> number >> local >> remote >> state;) {
        std::getline(table, rest);
        int local_port = 0;
        const std::size_t colon = local.find(':') + 1;
        std::from_chars(local.data() + colon, local.data() + local.size(), local_port, 16);
        // 03 is SYN_RECV.
        if (local_port == port && state == "03") ++count;
    }
    return count;
}

void print_queues(const unique_fd& listener, int port) {
    // Of a listener, these two fields mean something else: the length of its queue, and the backlog.
    const tcp_info info = info_of(listener);
    std::cout << "    waiting for accept: " << info.tcpi_unacked << " (backlog " << info.tcpi_sacked
              << "), half open: " << half_open(port) << '\n';
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "lnw", "[-o] [-l BACKLOG] [-n CLIENTS] [-w SECONDS]", 0, 0, "o"};
    const std::chrono::duration<double> patience{given.number('w', 5.0, 0.0, 60.0)};
    endpoint here = resolve("127.0.0.1", 0).front();
    const unique_fd listener{check("socket", socket(AF_INET, SOCK_STREAM, 0))};
    check("bind", bind(listener.get(), here.get(), here.size));
    const int deferred = given.has('o') ? 30 : 0;
    check("setsockopt",
          setsockopt(listener.get(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &deferred, sizeof deferred));
    check("listen", listen(listener.get(), given.number('l', 3, 0, 1000)));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    const int port = ntohs(reinterpret_cast<const sockaddr_in&>(here.storage).sin_port);
    std::cout << "listening on " << to_string(here) << ", and nobody accepts\n";

    std::vector<unique_fd> clients;
    // By client: its descriptor, or -1 when its handshake is complete.
    std::vector<pollfd> waiting;
    const int count = given.number('n', 6, 1, 1000);
    for (int i = 1; i <= count; ++i) {
        // Non-blocking: connect begins the handshake and does not wait for its end.
        const unique_fd& client =
            clients.emplace_back(check("socket", socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)));
        if (connect(client.get(), here.get(), here.size) == -1 && errno != EINPROGRESS) check("connect", -1);
        pollfd& wait = waiting.emplace_back(pollfd{client.get(), POLLOUT, 0});
        if (check("poll", poll(&wait, 1, 200)) == 1) wait.fd = -1;
        std::cout << "client " << i << " connects: " << state_of(client) << '\n';
        print_queues(listener, port);
    }

    if (deferred != 0) {
        check("send", send(clients.front().get(), "x", 1, MSG_NOSIGNAL));
        std::cout << "client 1 sends a byte\n";
    }
    const auto begin = std::chrono::steady_clock::now();
    const unique_fd accepted{check("accept", accept(listener.get(), nullptr, nullptr))};
    std::cout << "the server accepts one client\n";
    print_queues(listener, port);
    const auto limit = std::chrono::duration_cast<std::chrono::milliseconds>(patience).count();
    if (check("poll", poll(waiting.data(), waiting.size(), static_cast<int>(limit))) == 0) {
        std::cout << "nobody else comes in\n";
        return 0;
    }
    const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
    const auto next =
        std::find_if(waiting.begin(), waiting.end(), [](const pollfd& w) { return w.revents != 0; });
    const auto index = static_cast<std::size_t>(next - waiting.begin());
    std::cout << "client " << index + 1 << " has asked again after " << std::fixed << waited.count()
              << " s: " << state_of(clients[index]) << '\n';
    print_queues(listener, port);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
