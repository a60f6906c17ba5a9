// Broken: each request takes a while in the loop (-d 0.2 seconds), and everybody waits for everybody.
//
//   ./upper_server_slow -d 0.5          in one terminal
//   nc localhost 4444                   in several others; type a line in each, quickly
//
// Look at the replies: with N clients that ask at once the last is answered after N times half a second,
// although the process does nothing most of the time. Whatever the loop does must be short; what takes long
// belongs into another process (lab04) or thread (lab06).
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <thread>

#include "descriptor_limit.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

struct client {
    unique_fd connection;
    std::string name;
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

/// Serves a client what it has sent, once; returns false if it will send no more. Throws std::system_error if
/// it is gone.
bool serve(const unique_fd& connection, std::chrono::duration<double> work) {
    std::array<char, 16384> buffer;
    const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
    if (received == 0) return false;  // the client's end of file
    const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
    std::this_thread::sleep_for(work);  // pretended: a look into a data base, say
    for (char& c : chunk) c = to_upper(c);
    send_all(connection, chunk);
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    const std::chrono::duration<double> work{given.number('d', 0.2, 0.0, 3600.0)};
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

    std::map<int, client> clients;  // by descriptor
    while (true) {
        fd_set readable;
        FD_ZERO(&readable);
        FD_SET(listener.get(), &readable);
        for (const auto& [fd, _] : clients) FD_SET(fd, &readable);
        check("select", select(limit, &readable, nullptr, nullptr, nullptr));

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            const auto& [connection, name] = current->second;
            if (!FD_ISSET(connection.get(), &readable)) continue;
            bool stays = false;
            try {
                stays = serve(connection, work);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << name << '\n';
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
