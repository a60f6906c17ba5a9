// Many clients, one process, and no client that can stall it: poll, with writes waited for.
//
//   ./upper_server_poll                      in one terminal
//   yes | nc localhost 4444 | sleep 60       in another: asks for much, reads nothing
//   nc localhost 4444                        in a third: is served at once
//
// Look at what poll is told about a client: either that it may be read, or, as long as a part of its reply is
// unsent, that it may be written; so no more than one chunk is ever kept for a client. And at what happens
// when there are no descriptors left (`ulimit -n 10` before the start). Next: upper_server_epoll.
#include <err.h>
#include <poll.h>
#include <signal.h>
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
#include <vector>

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

/// Serves a client once: what it has sent, or the rest of a reply; returns false if it will send no more.
/// Throws std::system_error if it is gone.
bool serve(client& one) {
    std::array<char, chunk_size> buffer;
    std::span<const char> reply = one.unsent;
    if (reply.empty()) {
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
        if (received == -1 && errno == EAGAIN) return true;  // not ready after all: man 2 select, "BUGS"
        if (check("recv", received) == 0) return false;      // the client's end of file
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        for (char& c : chunk) c = to_upper(c);
        reply = chunk;
    }
    // BEGIN SOLUTION: send what the client takes without waiting, and keep the rest in `unsent`.
    const auto sent = send(one.connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
    if (sent == -1 && errno != EAGAIN) check("send", sent);
    const auto rest = reply.subspan(sent == -1 ? 0 : static_cast<std::size_t>(sent));
    one.unsent = std::string{rest.begin(), rest.end()};
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

    std::vector<client> clients;
    std::vector<pollfd> watched{
        {.fd = listener.get(), .events = POLLIN, .revents = 0}};  // and client i at i + 1
    std::time_t full_at = 0;  // when no descriptor was left; other processes have some, too: try every second
    while (true) {
        const bool full = std::time(nullptr) == full_at;
        // BEGIN SOLUTION: while full, do not watch the listener: who waits there would make it ready for ever.
        watched[0].events = full ? 0 : POLLIN;
        // END SOLUTION
        check("poll", poll(watched.data(), watched.size(), full ? 1000 : -1));

        for (std::size_t i = clients.size();
             i-- > 0;) {  // backwards, for the last one replaces one that leaves
            client& one = clients[i];
            pollfd& state = watched[i + 1];
            if (state.revents == 0) continue;
            bool stays = false;
            try {
                stays = serve(one);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) {
                // BEGIN SOLUTION: watch a client with an unsent rest for writing only, others for reading only.
                state.events = one.unsent.empty() ? POLLIN : POLLOUT;
                // END SOLUTION
                continue;
            }
            std::cout << "disconnected " << one.name << '\n';
            std::swap(one, clients.back());
            std::swap(state, watched.back());
            clients.pop_back();
            watched.pop_back();
            full_at = 0;
        }

        for (int times = 0; watched[0].revents != 0 && times < 64; ++times) {  // all that wait, within bounds
            endpoint address;
            unique_fd connection{accept4(listener.get(), address.get(), &address.size, SOCK_NONBLOCK)};
            if (connection.get() == -1) {  // nobody waits, or no longer: man 2 accept, "Error handling"
                if (errno == EAGAIN || errno == ECONNABORTED) break;
                warn("accept4");
                full_at = std::time(nullptr);
                break;
            }
            std::cout << "connected " << to_string(address) << '\n';
            watched.push_back({.fd = connection.get(), .events = POLLIN, .revents = 0});
            clients.push_back({std::move(connection), to_string(address)});
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
