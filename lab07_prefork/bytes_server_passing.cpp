// The parent accepts, and hands each connection to a child that is free: the descriptor goes through a local
// socket, one per child. When all are busy, the next clients wait in the listener's queue, in their order.
//
//   ./bytes_server_passing              in one terminal
//   ./load_client localhost             in another
//
// Look at who is woken: one child, chosen by the parent, whatever the kernel would have done. The price is in
// the figures of load_client: two more messages between processes for each client. Next:
// bytes_server_reuseport, where nobody has to choose.
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "bytes_service.hpp"
#include "descriptor_passing.hpp"
#include "options.hpp"
#include "posix.hpp"

struct child {
    pid_t pid = 0;
    unique_fd
        channel;  // to it: descriptors; from it: a byte when it is free again, end of file when it is dead
    std::string client;  // whom it serves; empty while it is free
};

pid_t parent = 0;  // the server itself, and no child

extern "C" void on_stop(int) {
    if (getpid() != parent) _exit(0);  // Ctrl-C reaches the children, too: they go without a word
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// What a child does: it serves whomever the parent passes to it, one after the other, until the parent ends.
void work(const unique_fd& channel) {
    while (auto connection = receive_descriptor(channel)) {
        try {
            serve(*connection);
        } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
        connection->reset();
        check("send", send(channel.get(), "", 1, MSG_NOSIGNAL));  // one byte: free again
    }
}

/// Starts a child that shares nothing with the parent but its channel.
child start_child(unique_fd& listener, std::vector<child>& children) {
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    unique_fd ours{ends[0]};
    const unique_fd theirs{ends[1]};
    const pid_t pid = check("fork", fork());
    if (pid != 0) return {pid, std::move(ours), ""};
    try {
        check("prctl", prctl(PR_SET_PDEATHSIG, SIGKILL));  // the child ends when the parent ends,
        if (getppid() != parent) _exit(1);                 // or has ended already
        listener.reset();
        ours.reset();
        children.clear();  // the parent's ends of the other channels
        work(theirs);
    } catch (const std::exception& error) {
        std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    }
    _exit(1);  // a child never falls back into its parent's loop
}

/// Gives the connection to a free child.
void hand_over(const unique_fd& connection, const std::string& name, std::vector<child>& children) {
    for (child& one : children) {
        if (!one.client.empty()) continue;
        try {
            send_descriptor(one.channel, connection);
            one.client = name;
            return;
        } catch (const std::exception&) {  // it has just died, as poll will say: this client goes to the next
        }
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n CHILDREN]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    std::vector<child> children(static_cast<std::size_t>(given.number('n', 10, 1, 1000)));
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    for (child& one : children) one = start_child(listener, children);
    std::vector<pollfd> watched(children.size() + 1, {-1, POLLIN, 0});  // poll passes over a descriptor of -1
    while (true) {
        for (std::size_t k = 0; k < children.size(); ++k) watched[k].fd = children[k].channel.get();
        // BEGIN SOLUTION: watch the listener, too, but only while a child is free: others wait in its queue.
        const bool any_free = std::ranges::any_of(children, &std::string::empty, &child::client);
        watched.back().fd = any_free ? listener.get() : -1;
        // END SOLUTION
        check("poll", poll(watched.data(), watched.size(), -1));

        for (std::size_t k = 0; k < children.size(); ++k) {
            if (watched[k].revents == 0) continue;
            char byte = 0;
            const bool alive = recv(children[k].channel.get(), &byte, 1, 0) == 1;
            if (!children[k].client.empty()) std::cout << "disconnected " << children[k].client << '\n';
            children[k].client.clear();  // it is free again
            if (alive) continue;
            waitpid(children[k].pid, nullptr, 0);
            children[k] = start_child(listener, children);
        }

        if (watched.back().revents == 0) continue;
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        const std::string name = to_string(client);
        std::cout << "connected " << name << '\n';
        hand_over(connection, name, children);  // the parent's own descriptor is closed with `connection`
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
