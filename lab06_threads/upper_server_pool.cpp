// A pool: N threads are started once, and each takes one client after the other. The next one has to wait.
//
//   ./upper_server_pool -n 2            in one terminal
//   nc localhost 4444                   in three others; type a line in each, then end one of the first two
//
// Look at the third: it is connected (the kernel did that) and gets its reply when a thread is free. Nobody
// can make the server start more threads than it has memory for, and no client waits for one to be started.
// bytes_server_prethreaded is the same without the lock: who chooses the thread then?
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <span>
#include <syncstream>
#include <thread>
#include <vector>

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

/// What each thread of the pool does, for ever. Whatever a client does, the pool keeps all its threads.
void work(const unique_fd& listener, std::mutex& accepting) {
    // BEGIN SOLUTION: for ever: accept a client, the mutex held only meanwhile, or rest if full; log, serve it.
    while (true) {
        endpoint client;
        unique_fd connection;
        {
            const std::lock_guard lock{accepting};
            connection = unique_fd{accept(listener.get(), client.get(), &client.size)};
        }
        if (connection.get() == -1 && errno != ECONNABORTED) {
            warn("accept");
            sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
        }
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';  // a line in one piece
        try {
            serve(connection);
        } catch (const std::exception& error) {  // ends this client's connection, and not this thread
            std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
        }
        std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
    }
    // END SOLUTION
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pan", "[-p PORT] [-a ADDRESS] [-n THREADS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(4444)).front();
    const int count = given.number('n', 5, 1, 10'000);
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

    std::mutex accepting;
    std::vector<std::jthread> pool;
    try {
        for (int number = 1; number <= count; ++number)
            pool.emplace_back(work, std::cref(listener), std::ref(accepting));
    } catch (const std::exception& error) {  // to leave main would be to wait for those that have begun
        std::cerr << program_invocation_short_name << ": thread: " << error.what() << '\n';
        _exit(1);
    }
    for (std::jthread& thread : pool) thread.join();
    return 0;
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
