// A new version of a server takes over: what happens to the clients in the queue of the old one?
//
//   ./restart
//
// 40 clients connect while both versions listen, and nobody accepts. Then the old version closes its
// listener, and the new one accepts all that it can. Look at the two ways. With SO_REUSEPORT each version has
// a queue of its own, and the closing listener's queue is reset. With one listening socket, which the old
// version has passed to the new one, there is one queue, and it stays.
#include <err.h>
#include <sys/socket.h>

#include <cerrno>
#include <exception>
#include <iostream>
#include <utility>
#include <vector>

#include "descriptor_passing.hpp"
#include "options.hpp"
#include "posix.hpp"

constexpr int connections = 40;

/// Returns a socket that listens at `here`, which others may share by SO_REUSEPORT.
unique_fd listen_shared(endpoint& here) {
    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    return listener;
}

/// Lets clients connect, closes `older`, and accepts what `newer` has. Returns how many were lost.
int lost_by_closing(unique_fd older, const unique_fd& newer, const endpoint& here) {
    std::vector<unique_fd> clients;
    for (int i = 0; i < connections; ++i) {
        clients.emplace_back(check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0)));
        check("connect", connect(clients.back().get(), here.get(), here.size));
    }
    older.reset();
    std::vector<unique_fd> accepted;
    while (true) {
        unique_fd connection{accept(newer.get(), nullptr, nullptr)};
        if (connection.get() == -1) break;
        accepted.push_back(std::move(connection));
    }
    if (errno != EAGAIN) check("accept", -1);
    int lost = 0;
    for (const unique_fd& client : clients) {
        // A reset is there at once. A connection that lives has nothing to read.
        char byte = 0;
        if (recv(client.get(), &byte, 1, MSG_DONTWAIT) == -1 && errno == ECONNRESET) ++lost;
    }
    return lost;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    endpoint here = resolve("127.0.0.1", 0).front();
    unique_fd older = listen_shared(here);
    unique_fd newer = listen_shared(here);
    std::cout << "SO_REUSEPORT, two queues: " << lost_by_closing(std::move(older), newer, here) << " of "
              << connections << " connections are lost\n";

    here = resolve("127.0.0.1", 0).front();
    older = listen_shared(here);
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    const unique_fd ours{ends[0]};
    const unique_fd theirs{ends[1]};
    // BEGIN SOLUTION: the old version sends its listening socket; what the new version receives is `newer`.
    send_descriptor(ours, older);
    newer = receive_descriptor(theirs).value();
    // END SOLUTION
    std::cout << "passed listener, one queue: " << lost_by_closing(std::move(older), newer, here) << " of "
              << connections << " connections are lost\n";
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
