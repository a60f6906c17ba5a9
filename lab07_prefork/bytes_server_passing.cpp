// The parent accepts, and passes each connection to a free child: the descriptor goes through a Unix domain
// socket, one per child. While all are busy, the next clients wait in the listener's queue, in their order.
//
//   ./bytes_server_passing              in one terminal
//   ./load_client localhost             in another
//
// Look at which child is woken: the one that the parent chooses. The price is in the figures of load_client:
// two more messages between processes for each client. Next: bytes_server_reuseport, where the kernel
// chooses.
#include <err.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "bytes_service.hpp"
#include "descriptor_passing.hpp"
#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

struct child {
    pid_t pid;
    // To the child go descriptors. From it come a byte when it is free again, end of file when it has died.
    unique_fd channel;
    // The client that it serves; empty while it is free.
    std::string client;
};

/// What only the parent has.
struct server {
    unique_fd listener;
    std::vector<child> children;
    // A connection that is accepted and not passed yet; usually there is none.
    unique_fd connection;
    std::string client;
};

/// What a child does: it serves one passed connection after the other, until the parent ends.
void work(const unique_fd& channel) {
    while (auto connection = receive_descriptor(channel)) {
        try {
            serve(*connection);
        } catch (const std::exception& error) {
            // It ends this client's connection, and no other.
            warnx("%s", error.what());
        }
        connection->reset();
        // One byte: free again.
        check("send", send(channel.get(), "", 1, MSG_NOSIGNAL));
    }
}

/// Starts a child, which shares nothing with the parent but its channel. Throws std::system_error.
child start_child(server& parents) {
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    unique_fd ours{ends[0]};
    const unique_fd theirs{ends[1]};
    const pid_t parent = getpid();
    const pid_t pid = check("fork", fork());
    if (pid != 0) return {pid, std::move(ours), ""};
    try {
        end_with_parent(parent);
        ours.reset();
        parents = {};
        work(theirs);
    } catch (const std::exception& error) {
        warnx("%s", error.what());
    }
    // A child never returns into its parent's loop.
    _exit(1);
}

/// Takes the news from a child: it is free again, or it has died; then its channel is closed.
void hear_from(child& one) {
    char byte = 0;
    const bool alive = recv(one.channel.get(), &byte, 1, 0) == 1;
    if (!one.client.empty()) std::cout << "disconnected " << one.client << '\n';
    one.client.clear();
    if (alive) return;
    waitpid(one.pid, nullptr, 0);
    one.channel.reset();
}

/// Passes the connection to a free child. It stays if each of them has just died: poll will tell.
void pass_connection(server& parents) {
    for (child& one : parents.children) {
        if (!one.client.empty()) continue;
        try {
            send_descriptor(one.channel, parents.connection);
        } catch (const std::system_error&) {
            continue;
        }
        one.client = parents.client;
        // The child has a descriptor of its own for the connection.
        parents.connection.reset();
        return;
    }
}

int main(int argc, char* argv[]) try {
    using clock = std::chrono::steady_clock;
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    const auto wanted = static_cast<std::size_t>(given.number('n', 10, 1, 1000));
    start_log();
    exit_on_stop_signals();
    server parents{listen_on(given.address(), given.port(2000)), {}, {}, {}};

    while (parents.children.size() < wanted) parents.children.push_back(start_child(parents));
    auto last_start = clock::now();
    std::vector<pollfd> watched;
    while (true) {
        watched.clear();
        for (const child& one : parents.children) watched.push_back({one.channel.get(), POLLIN, 0});
        // poll ignores an entry whose descriptor is -1.
        watched.push_back({-1, POLLIN, 0});
        // BEGIN SOLUTION: watch the listener, too, but only while a child is free: others wait in its queue.
        const bool any_free = std::ranges::any_of(parents.children, &std::string::empty, &child::client);
        if (any_free && parents.connection.get() == -1) watched.back().fd = parents.listener.get();
        // END SOLUTION
        // While a child is missing or a connection is not passed, it looks again after a second.
        const bool complete = parents.children.size() == wanted && parents.connection.get() == -1;
        check("poll", poll(watched.data(), watched.size(), complete ? -1 : 1000));

        for (std::size_t k = 0; k < parents.children.size(); ++k)
            if (watched[k].revents != 0) hear_from(parents.children[k]);
        std::erase_if(parents.children, [](const child& one) { return one.channel.get() == -1; });
        if (parents.children.size() < wanted && clock::now() - last_start >= std::chrono::seconds{1}) {
            last_start = clock::now();
            try {
                while (parents.children.size() < wanted) parents.children.push_back(start_child(parents));
            } catch (const std::system_error& error) {
                warnx("%s", error.what());
            }
        }

        if (watched.back().revents != 0) {
            endpoint client;
            parents.connection = unique_fd{accept(parents.listener.get(), client.get(), &client.size)};
            if (parents.connection.get() == -1) {
                // The children serve on meanwhile.
                rest_after_failed_accept();
                continue;
            }
            parents.client = to_string(client);
            std::cout << "connected " << parents.client << '\n';
        }
        if (parents.connection.get() != -1) pass_connection(parents);
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
