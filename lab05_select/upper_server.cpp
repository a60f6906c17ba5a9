// One process, many clients: select waits for all of them at once, and says whom to serve without waiting.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in two others; type a line here, a line there
//
// Look at the diff to lab02's upper_server: serve has lost its loop, which is now in main and goes around all
// clients. Try also a client that asks for much and reads nothing (`yes | nc localhost 4444 | sleep 60`): the
// blocking send waits for it, and everybody else waits, too. upper_server_poll is next, and does not.
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
#include <span>
#include <string>

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
bool serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
    if (received == 0) return false;  // the client's end of file
    const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
    for (char& c : chunk) c = to_upper(c);
    send_all(connection, chunk);
    return true;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    const int limit = std::min(FD_SETSIZE, raise_descriptor_limit() - 1);  // the last one is for refusing

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    // Non-blocking, for a client that is ready may have gone when accept comes: man 2 select, "BUGS".
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    std::map<int, client> clients;  // by descriptor
    fd_set watched;
    FD_ZERO(&watched);
    FD_SET(listener.get(), &watched);

    while (true) {
        fd_set ready{};
        // BEGIN SOLUTION: wait until the listener or a client can be read; `ready` then holds those that can.
        ready = watched;  // a copy, for select takes out those that are not ready
        const int highest =
            clients.empty() ? listener.get() : std::max(listener.get(), clients.rbegin()->first);
        check("select", select(highest + 1, &ready, nullptr, nullptr, nullptr));
        // END SOLUTION

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            const auto& [connection, name] = current->second;
            if (!FD_ISSET(connection.get(), &ready)) continue;
            bool stays = false;
            try {
                stays = serve(connection);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << name << '\n';
            // BEGIN SOLUTION: stop watching the descriptor that is about to be closed.
            FD_CLR(connection.get(), &watched);
            // END SOLUTION
            clients.erase(current);
            std::cout << clients.size() << " clients connected\n";
        }

        if (!FD_ISSET(listener.get(), &ready)) continue;
        endpoint address;
        unique_fd connection{accept(listener.get(), address.get(), &address.size)};
        const int fd = connection.get();
        if (fd == -1) rest_if_short_of_descriptors();
        if (fd == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        // BEGIN SOLUTION: refuse a client whose descriptor is not below `limit`: "refused HOST:PORT: too many clients".
        if (fd >= limit) {  // FD_SET would write past the end of the set
            std::cout << "refused " << to_string(address) << ": too many clients\n";
            continue;
        }
        // END SOLUTION
        std::cout << "connected " << to_string(address) << '\n';
        FD_SET(fd, &watched);
        clients[fd] = {std::move(connection), to_string(address)};
        std::cout << clients.size() << " clients connected\n";
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
