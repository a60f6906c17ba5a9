// Broken: many clients in one process by asking each of them, all the time, whether it has sent something.
//
//   ./upper_server_busy                 in one terminal
//   top                                 in another: a whole CPU, before a single client has come
//
// Look at strace -c -p PID: a million calls that all say "nothing yet" (EAGAIN). The answers are right; the
// same process can sleep until there is something to do: upper_server.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <exception>
#include <iostream>
#include <map>
#include <span>
#include <string>

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

/// Serves a client what it has sent, if anything; returns false if it will send no more. Throws
/// std::system_error if it is gone.
bool serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    const auto received = recv(connection.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    if (received == -1 && errno == EAGAIN) return true;  // nothing yet: ask again
    check("recv", received);
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
        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            const auto& [connection, name] = current->second;
            bool stays = false;
            try {
                stays = serve(connection);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << name << '\n';
            clients.erase(current);
            std::cout << clients.size() << " clients connected\n";
        }

        endpoint address;
        unique_fd connection{accept(listener.get(), address.get(), &address.size)};
        const int fd = connection.get();
        if (fd == -1) continue;  // nobody is waiting: ask again
        std::cout << "connected " << to_string(address) << '\n';
        clients[fd] = {std::move(connection), to_string(address)};
        std::cout << clients.size() << " clients connected\n";
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
