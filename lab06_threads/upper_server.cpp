// A thread per client: clients are served at once, in one process that all of them share.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in two others; type a line in each
//   ls /proc/$(pgrep upper_server)/task one number a thread
//
// Look at the diff to lab02's: the thread's function is lab02's loop body. Look at what is handed to the
// thread: the connection moves into it, so that it is the thread's own and closed at its end. The program
// after this, upper_server_global, shows what happens otherwise; upper_server_pool starts its threads once.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <exception>
#include <iostream>
#include <span>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

std::atomic_flag stopping;

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    // _exit ends all threads at once; exit would destroy std::cout while they still use it.
    if (stopping.test_and_set()) pause();  // another thread is here: sa_mask holds back signals for one only
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns `c` in upper case if it is an ASCII letter; any other byte as it is, whatever the locale.
char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
}

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        for (char& c : chunk) c = to_upper(c);
        send_all(connection, chunk);
    }
}

/// A client's thread, which owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client) {
    try {
        serve(connection);
    } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
    }
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';  // a line in one piece
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

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1 && errno != ECONNABORTED) {
            warn("accept");
            sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
        }
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        try {
            std::thread{serve_client, std::move(connection), client}.detach();  // nobody waits for its end
        } catch (const std::system_error& error) {  // no thread to be had: this client is turned away
            std::osyncstream{std::cerr} << program_invocation_short_name << ": thread: " << error.what()
                                        << '\n';
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
