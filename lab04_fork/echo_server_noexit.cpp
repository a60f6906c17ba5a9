// Broken on purpose: the child does not exit, and competes with its parent for the next client.
//
//   ./echo_server_noexit -d 0           in one terminal
//   ../lab02_tcp_iterative/echo_client localhost one             in another, several times
//   ps --forest -o pid,ppid,stat,cmd -C echo_server_noexit       in a third: children of children
//
// Look at the diff to echo_server: the child neither closes the listener nor exits. Each client leaves one
// more process, and any of them may serve the next client. In lab07 several processes wait in accept on
// purpose, and their number is fixed.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <exception>
#include <iostream>
#include <string>
#include <thread>
#include <vector>

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

/// Reaps the children that have exited, and removes them from the list. Does not wait for the others.
void reap(std::vector<pid_t>& children) {
    std::erase_if(children, [](pid_t child) { return waitpid(child, nullptr, WNOHANG) != 0; });
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pad", "[-p PORT] [-a ADDRESS] [-d SECONDS]"};
    const std::chrono::duration<double> work{given.number('d', 5.0, 0.0, 3600.0)};
    start_log();
    exit_on_stop_signals();
    unique_fd listener = listen_on(given.address(), given.port(50007));

    std::vector<pid_t> children;
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        reap(children);
        const pid_t parent = getpid();
        const pid_t child = fork();
        if (child == 0) {
            end_with_parent(parent);
            try {
                serve(connection, work);
            } catch (const std::exception& error) {
                // It ends this client's connection, and no other.
                warnx("%s", error.what());
            }
            std::cout << "disconnected " << to_string(client) << '\n';
            // No _exit: the child goes on with the loop, and accepts.
        }
        if (child > 0) children.push_back(child);
        if (child == -1) {
            // No process is left for this client: it is turned away.
            warn("fork");
            std::cout << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
