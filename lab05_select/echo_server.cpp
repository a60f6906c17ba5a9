// The echo service on two ports at once: select waits for any number of listeners as it does for clients.
//
//   ./echo_server                                    in one terminal: ports 50007 and 50008
//   ./echo_client [-p 50008] localhost Sir Lancelot  (lab02's) in two others, one for each port
//
// Look at -d 2, two seconds of pretended work for each client: here they are everybody's, since all clients
// are served by one loop. So is a send that waits for a client who does not read: echo_server_writes cures
// that.
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <vector>

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

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::array<char, 26> text;                                 // as ctime_r wants it
    return {ctime_r(&seconds, text.data()), text.size() - 2};  // without its newline
}

/// Serves a client what it has sent, once; returns false if it will send no more. Throws std::system_error if
/// it is gone.
bool serve(const unique_fd& connection) {
    std::array<char, 1024> buffer;
    const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
    if (received == 0) return false;  // the client's end of file
    const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
    send_all(connection, "Echo=>" + chunk + " at " + now());
    return true;
}

/// Returns a socket that listens at `here`, which becomes the address that it really has.
unique_fd listen_at(endpoint& here) {
    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    return listener;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const std::string address = given.text('a', "127.0.0.1");
    const int port = given.number('p', 50007, 0, 65534);
    const std::chrono::duration<double> work{given.number('d', 0.0, 0.0, 3600.0)};
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    const int limit = std::min(FD_SETSIZE, raise_descriptor_limit() - 1);  // the last one is for refusing

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    std::vector<unique_fd> listeners;
    for (const int each : {port, port == 0 ? 0 : port + 1}) {
        endpoint here = resolve(address, each).front();
        listeners.push_back(listen_at(here));
        std::cout << "listening on " << to_string(here) << '\n';
    }

    std::map<int, client> clients;  // by descriptor
    while (true) {
        fd_set readable;
        FD_ZERO(&readable);
        for (const unique_fd& listener : listeners) FD_SET(listener.get(), &readable);
        for (const auto& [fd, _] : clients) FD_SET(fd, &readable);
        check("select", select(limit, &readable, nullptr, nullptr, nullptr));

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            const auto& [connection, name] = current->second;
            if (!FD_ISSET(connection.get(), &readable)) continue;
            bool stays = false;
            try {
                stays = serve(connection);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            if (stays) continue;
            std::cout << "disconnected " << name << '\n';
            clients.erase(current);
        }

        for (const unique_fd& listener : listeners) {
            if (!FD_ISSET(listener.get(), &readable)) continue;
            endpoint peer;
            unique_fd connection{accept(listener.get(), peer.get(), &peer.size)};
            const int fd = connection.get();
            if (fd == -1) rest_if_short_of_descriptors();
            if (fd == -1) continue;     // that client has gone again: man 2 accept, "Error handling"
            if (fd >= limit) continue;  // closed at once: see upper_server
            std::cout << "connected " << to_string(peer) << '\n';
            std::this_thread::sleep_for(work);  // pretended: a look into a data base, say
            clients[fd] = {std::move(connection), to_string(peer)};
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
