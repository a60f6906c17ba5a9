// Ten thousand clients, most of them silent: epoll reports to whom something has happened, and nobody else.
//
//   ./upper_server_epoll                in one terminal
//   nc localhost 4444                   in others
//
// Look at what poll has before each wait, and epoll has not: a list of all clients. The kernel keeps the
// list, and reports edges: that something has arrived, not that something is there. So who is served must be
// served until nothing is left, though not all in one turn: `watch` asks again. Next: echo_server.
#include <err.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <unordered_map>

#include "descriptor_limit.hpp"
#include "options.hpp"
#include "posix.hpp"

constexpr std::size_t chunk_size = 16384;  // read from a client at a time, and the most that is kept for it

struct client {
    unique_fd connection;
    std::string name;
    std::string unsent{};  // in upper case already; while there is some, the client is not read
};

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns `c` in upper case if it is an ASCII letter; any other byte as it is, whatever the locale.
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Has reported what happens to `fd` from now on, and in the next turn what is there already: EPOLL_CTL_ADD
/// for a new one; EPOLL_CTL_MOD for one that is not drained ("will reread available I/O", man 7 epoll).
void watch(const unique_fd& epoll, int operation, int fd) {
    // BEGIN SOLUTION: have events reported when they happen, and only then: edge-triggered.
    epoll_event event{.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI | EPOLLET, .data{.fd = fd}};
    check("epoll_ctl", epoll_ctl(epoll.get(), operation, fd, &event));
    // END SOLUTION
}

/// Serves a client once: what it has sent, or the rest of a reply; returns false if it will send no more.
/// Throws std::system_error if it is gone.
bool serve(const unique_fd& epoll, client& one, const epoll_event& event) {
    std::array<char, chunk_size> buffer;
    std::span<const char> reply = one.unsent;
    bool drained = false;
    if (reply.empty()) {
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
        if (received == -1 && errno == EAGAIN) return true;  // drained: an event will tell of more
        if (check("recv", received) == 0) return false;      // the client's end of file
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        for (char& c : chunk) c = to_upper(c);
        reply = chunk;
        // Less than asked for was all there is (man 7 epoll, question 9), if nothing but data was reported.
        drained = chunk.size() < buffer.size() && (event.events & ~(EPOLLIN | EPOLLOUT)) == 0;
    }
    // BEGIN SOLUTION: send without waiting, keep the rest in `unsent`; return if the client took nothing.
    const auto sent = send(one.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    if (sent == -1 && errno != EAGAIN) check("send", sent);
    const auto rest = reply.subspan(sent == -1 ? 0 : static_cast<std::size_t>(sent));
    one.unsent = std::string{rest.begin(), rest.end()};
    if (sent == -1) return true;  // an event will tell when it takes more
    // END SOLUTION
    // BEGIN SOLUTION: if the client is not drained, or has a rest to get, ask again: no event will tell.
    if (!drained || !one.unsent.empty()) watch(epoll, EPOLL_CTL_MOD, one.connection.get());
    // END SOLUTION
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    raise_descriptor_limit();

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    const unique_fd epoll{check("epoll_create1", epoll_create1(0))};
    watch(epoll, EPOLL_CTL_ADD, listener.get());
    std::unordered_map<int, client> clients;  // by descriptor
    std::array<epoll_event, 256> events{};
    std::time_t full_at = 0;  // when no descriptor was left for the next client; 0: there is one
    while (true) {
        const int count = epoll_wait(epoll.get(), events.data(), events.size(), full_at != 0 ? 1000 : -1);
        if (count == -1 && errno == EINTR) continue;  // stopped and continued: man 7 signal
        check("epoll_wait", count);
        bool knock = full_at != 0 && std::time(nullptr) != full_at;  // try every second, as with poll
        for (const epoll_event& event : std::span{events}.first(static_cast<std::size_t>(count))) {
            const int fd = event.data.fd;
            knock = knock || (fd == listener.get() && full_at == 0);
            if (fd == listener.get()) continue;
            client& one = clients[fd];
            bool stays = false;
            try {
                stays = serve(epoll, one, event);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << one.name << '\n';
            clients.erase(fd);
            knock = knock || full_at != 0;
        }

        for (int times = 0; knock && times < 64; ++times) {  // all that wait, within bounds
            endpoint address;
            unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
            const int fd = connection.get();
            knock = fd != -1 || errno == ECONNABORTED;  // gone again: man 2 accept, "Error handling"
            full_at = knock || errno == EAGAIN ? 0 : std::time(nullptr);
            if (full_at != 0) warn("accept4");
            if (fd == -1) continue;
            std::cout << "connected " << to_string(address) << '\n';
            watch(epoll, EPOLL_CTL_ADD, fd);
            clients[fd] = {std::move(connection), to_string(address)};
        }
        if (knock) watch(epoll, EPOLL_CTL_MOD, listener.get());  // more may wait
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
