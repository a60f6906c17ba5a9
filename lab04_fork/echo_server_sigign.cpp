// No zombies, the short way: a process that sets SIGCHLD to SIG_IGN has no zombies; waitpid(2), "Notes".
//
//   ./echo_server_sigign -d 0           in one terminal
//   ../lab02_tcp_iterative/echo_many -n 8 localhost one          in another
//   ps --forest -o pid,ppid,stat,cmd -C echo_server_sigign       in a third: the server, and no <defunct>
//
// Look at the diff to echo_server_zombies: one signal is ignored. It costs something: the server never knows
// how a child ended, and a program that a child executes ignores SIGCHLD, too (see super_server).
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <thread>

#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, std::chrono::duration<double> work) {
    // Simulated work: a query to a database, for example.
    std::this_thread::sleep_for(work);
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::string chunk{buffer.data(), static_cast<std::size_t>(received)};
        send_all(connection, "Echo=>" + chunk + " at " + now());
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const std::chrono::duration<double> work{given.number('d', 5.0, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    struct sigaction forget = {};
    forget.sa_handler = SIG_IGN;
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(50007));

    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        const pid_t parent = getpid();
        const pid_t child = fork();
        if (child == 0) {
            end_with_parent(parent);
            listener.reset();
            try {
                serve(connection, work);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            _exit(0);
        }
        if (child == -1) {
            // No process is left for this client: it is turned away.
            warn("fork");
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
