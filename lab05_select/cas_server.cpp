// Compare and swap for many clients: one register, one loop, and no lock.
//
//   ./cas_server                                    in one terminal
//   for i in 1 2 3; do nc localhost 22222 & done    (or lab02's cas_client) in others
//
// Look at serve: between the comparison and the swap nobody else can come, for there is nobody else. What a
// lock or shared memory does in lab04 and lab06, the loop does by serving one client after the other. The
// state of a half sent line cannot be in a local variable any more: each client has a line_buffer.
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <string_view>

#include "cas_register.hpp"
#include "descriptor_limit.hpp"
#include "line_buffer.hpp"
#include "line_cas.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

constexpr std::size_t max_ignored = std::size_t{1} << 20;  // bytes read after a refusal

struct client {
    unique_fd connection;
    std::string name;
    line_buffer lines{};
    bool refused = false;  // has been told so; what it still sends is ignored
    std::size_t ignored = 0;
};

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Sends the last words to a client that may still be sending. The connection stays open until its end of
/// file, or max_ignored bytes: to close it with bytes unread is to send a reset, which may overtake the
/// words.
void refuse(client& from, std::string_view words) {
    send_all(from.connection, words);
    check("shutdown", shutdown(from.connection.get(), SHUT_WR));
    from.refused = true;
}

/// Serves a client what it has sent, once; returns false if it will send no more. Throws std::system_error if
/// it is gone.
bool serve(client& from, CompareAndSwapRegister& cas_register) {
    std::array<char, 1024> buffer;
    const auto received = check("recv", recv(from.connection.get(), buffer.data(), buffer.size(), 0));
    if (received == 0) return false;  // the client's end of file; half a line is no line
    const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
    if (from.refused) return (from.ignored += chunk.size()) < max_ignored;
    from.lines.append(chunk);
    std::string replies;  // in one send: many small ones are slow
    try {
        while (const auto line = from.lines.next()) replies += line_cas(cas_register, *line) + '\n';
    } catch (const line_too_long& error) {
        refuse(from, replies + error.what() + '\n');
        return true;
    }
    send_all(from.connection, replies);
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(22222)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    const int limit = std::min(FD_SETSIZE, raise_descriptor_limit() - 1);  // the last one is for refusing

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

    CompareAndSwapRegister cas_register;  // one for all clients
    std::map<int, client> clients;        // by descriptor
    while (true) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(listener.get(), &readable);
        for (const auto& [fd, _] : clients) FD_SET(fd, &readable);
        check("select", select(limit, &readable, nullptr, nullptr, nullptr));

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            auto& [fd, one] = *current;
            if (!FD_ISSET(fd, &readable)) continue;
            bool stays = false;
            try {
                stays = serve(one, cas_register);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << one.name << '\n';
            clients.erase(current);
        }

        if (!FD_ISSET(listener.get(), &readable)) continue;
        endpoint peer;
        unique_fd connection{accept(listener.get(), peer.get(), &peer.size)};
        const int fd = connection.get();
        if (fd == -1) rest_if_short_of_descriptors();
        if (fd == -1) continue;     // that client has gone again: man 2 accept, "Error handling"
        if (fd >= limit) continue;  // closed at once: see upper_server
        std::cout << "connected " << to_string(peer) << '\n';
        clients[fd] = {std::move(connection), to_string(peer)};
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
