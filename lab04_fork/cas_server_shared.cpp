// Compare and swap with a child per client and one register for all, in memory that they share.
//
//   ./cas_server_shared                 in one terminal
//   ../lab02_tcp_iterative/cas_client localhost 0 7              in another: 0, the value before
//   ../lab02_tcp_iterative/cas_client localhost 7 8              7
//
// Look at the diff to cas_server_private: the class of the register is all. In lab05 one process serves all
// clients and needs no shared memory; in lab06 threads share all memory, whether that is wanted or not.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "line_buffer.hpp"
#include "line_cas.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "shared_register.hpp"

pid_t parent = 0;  // the server itself, and no child

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    if (getpid() != parent) _exit(0);  // Ctrl-C reaches the children, too: they go without a word
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Sends the last words to a client that may still be sending, so that they arrive: to close while there are
/// bytes that nobody has read is to send a reset, at which the other side may drop what it has not read yet.
void refuse(const unique_fd& connection, std::string_view words) {
    send_all(connection, words);
    check("shutdown", shutdown(connection.get(), SHUT_WR));
    const timeval second{.tv_sec = 1, .tv_usec = 0};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second));
    std::array<char, 65536> rest;  // until its end of file, but not for ever
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds{2};
    while (recv(connection.get(), rest.data(), rest.size(), 0) > 0)
        if (std::chrono::steady_clock::now() > deadline) return;
}

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection, shared_register& cas_register) {
    line_buffer lines;
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file; half a line is no line
        lines.append({buffer.data(), static_cast<std::size_t>(received)});
        std::string replies;  // in one send: many small ones are slow, as nagle shows
        try {
            while (const auto line = lines.next()) replies += line_cas(cas_register, *line) + '\n';
        } catch (const line_too_long& error) {
            return refuse(connection, replies + error.what() + '\n');
        }
        send_all(connection, replies);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(22222)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));
    struct sigaction forget {};
    forget.sa_handler = SIG_IGN;  // a child that has exited leaves no zombie: see echo_server_sigign
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    shared_register cas_register;  // one for all clients
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t child = fork();
        if (child == 0) {
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));  // the child ends when the parent ends,
            if (getppid() != parent) _exit(0);                 // or has ended already
            listener.reset();
            try {
                serve(connection, cas_register);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            _exit(0);
        }
        if (child == -1) {  // no process to be had: this client is turned away
            std::cerr << program_invocation_short_name << ": fork: " << strerror(errno) << '\n';
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
