// The echo service that no client can stall: select waits for writes, too.
//
//   ./echo_server_writes                     in one terminal: ports 50007 and 50008
//   yes | nc localhost 50007 | sleep 60      in another: asks for much, reads nothing
//   ./echo_client localhost Hello            (lab02's) in a third: is served at once
//
// Look at the diff to echo_server: a reply is sent when select says that its client takes it, until then it
// is kept. What is kept is bounded: a client that has more than max_output bytes to collect is not read, and
// so its own sends must wait, in the end. callback_server has the same in the form of a library.
#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
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

constexpr std::size_t max_output = 65536;  // and one reply: the most that is kept for a client

struct client {
    unique_fd connection;
    std::string name;
    std::string output{};  // replies that the client has not taken yet
    bool ended = false;    // it will send no more
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

/// Reads what the client has sent, once, and puts the reply into its output. Throws std::system_error if the
/// client is gone.
void read_some(client& from) {
    std::array<char, 1024> buffer;
    const auto received = check("recv", recv(from.connection.get(), buffer.data(), buffer.size(), 0));
    from.ended = received == 0;
    if (from.ended) return;
    const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
    from.output += "Echo=>" + chunk + " at " + now();
}

/// Sends what the client takes now of its output. Throws std::system_error if it is gone.
void write_some(client& to) {
    // BEGIN SOLUTION: send without waiting what fits, and keep the rest as the output.
    const auto sent =
        send(to.connection.get(), to.output.data(), to.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent == -1 && errno == EAGAIN) return;
    to.output.erase(0, static_cast<std::size_t>(check("send", sent)));
    // END SOLUTION
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
        fd_set writable;
        FD_ZERO(&readable);
        FD_ZERO(&writable);
        for (const unique_fd& listener : listeners) FD_SET(listener.get(), &readable);
        for (const auto& [fd, one] : clients) {
            // BEGIN SOLUTION: watch who has output for writing; and for reading who may send, unless it has much.
            if (!one.output.empty()) FD_SET(fd, &writable);
            if (!one.ended && one.output.size() < max_output) FD_SET(fd, &readable);
            // END SOLUTION
        }
        check("select", select(limit, &readable, &writable, nullptr, nullptr));

        for (auto next = clients.begin(); next != clients.end();) {
            const auto current = next++;
            auto& [fd, one] = *current;
            bool gone = false;
            try {
                if (FD_ISSET(fd, &writable)) write_some(one);
                if (FD_ISSET(fd, &readable)) read_some(one);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
                gone = true;
            }
            if (!gone && !(one.ended && one.output.empty())) continue;
            std::cout << "disconnected " << one.name << '\n';
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
