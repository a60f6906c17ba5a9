// The echo service: each chunk comes back as Echo=>CHUNK at DATE, so that the client sees when it was served.
//
//   ./echo_server -d 2                  in one terminal: two seconds of pretended work for each client
//   ./echo_many -n 3 localhost one two  in another
//
// Look at the dates: one client is served after the other, and all three have connected at once. The servers
// of lab04, lab05 and lab06 that answer them side by side have this program's name.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <thread>

#include "options.hpp"
#include "posix.hpp"

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

/// Sends every byte to the connected socket. Throws std::system_error.
void send_all(const unique_fd& connection, std::span<const char> bytes) {
    // BEGIN SOLUTION: send takes as many bytes as fit, and returns how many: repeat it until all are sent.
    // MSG_NOSIGNAL: if the client has gone, send fails with EPIPE; without it SIGPIPE kills the server.
    while (!bytes.empty()) {
        const auto sent = check("send", send(connection.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
    // END SOLUTION
}

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection, std::chrono::duration<double> work) {
    std::this_thread::sleep_for(work);  // pretended: a look into a data base, say
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file
        const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
        send_all(connection, "Echo=>" + chunk + " at " + now());
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(50007)).front();
    const std::chrono::duration<double> work{given.number('d', 0.0, 0.0, 3600.0)};
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        try {
            serve(connection, work);
        } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
