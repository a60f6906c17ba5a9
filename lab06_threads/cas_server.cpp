// Compare and swap with a thread per client: one register for all of them, and one at a time at it.
//
//   ./cas_server                                        in one terminal
//   ../lab02_tcp_iterative/cas_client localhost 0 7     in others
//
// Look at the diff to lab02's cas_server_lines. The register was one client's at a time because the server
// was; now it is several threads' at once, and to read, compare and write must be one step for the others.
// lab04's cas_server_shared has the same problem between processes, lab05's cas_server has it not at all.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <string_view>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "cas_register.hpp"
#include "line_buffer.hpp"
#include "line_cas.hpp"
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

/// A register that many threads may use at once.
class locked_register {
 public:
    std::uint64_t compare_and_swap(std::uint64_t expected, std::uint64_t desired) {
        // BEGIN SOLUTION: let one thread at a time compare and swap.
        const std::lock_guard lock{mutex_};
        // END SOLUTION
        return register_.compare_and_swap(expected, desired);
    }

 private:
    std::mutex mutex_;
    CompareAndSwapRegister register_;
};

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
void serve(const unique_fd& connection, locked_register& cas_register) {
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

/// A client's thread, which owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client, locked_register& cas_register) {
    try {
        serve(connection, cas_register);
    } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
    }
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';  // a line in one piece
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(22222)).front();
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

    locked_register cas_register;  // one for all clients
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
            std::thread{serve_client, std::move(connection), client, std::ref(cas_register)}
                .detach();                          // nobody waits for its end
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
