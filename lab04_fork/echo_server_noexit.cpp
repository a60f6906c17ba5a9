// Broken on purpose: the child does not exit, and competes with its parent for the next client.
//
//   ./echo_server_noexit -d 0           in one terminal
//   ../lab02_tcp_iterative/echo_client localhost one             in another, several times
//   ps --forest -o pid,ppid,stat,cmd -C echo_server_noexit       in a third: children of children
//
// Look at how the family grows by one with each client, and how any of its members may serve the next. A
// pool of processes that share one accept is no bad thing, if it is meant: see lab07.
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

pid_t parent = 0;  // the server itself, and no child

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    if (getpid() != parent) _exit(0);  // Ctrl-C reaches the children, too: they go without a word
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::array<char, 26> text;                                 // as ctime_r wants it
    return {ctime_r(&seconds, text.data()), text.size() - 2};  // without its newline
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

/// Collects those of the children that have exited, and does not wait for the others.
void reap(std::vector<pid_t>& children) {
    std::erase_if(children, [](pid_t child) { return waitpid(child, nullptr, WNOHANG) != 0; });
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(50007)).front();
    const std::chrono::duration<double> work{given.number('d', 5.0, 0.0, 3600.0)};
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    parent = getpid();
    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    std::vector<pid_t> children;
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        reap(children);
        const pid_t child = fork();
        if (child == 0) {
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));  // the child ends when the parent ends
            try {
                serve(connection, work);
            } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
                std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            // No _exit: the child goes on with the loop, and accepts.
        }
        if (child > 0) children.push_back(child);
        if (child == -1) {  // no process to be had: this client is turned away
            std::cerr << program_invocation_short_name << ": fork: " << strerror(errno) << '\n';
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
