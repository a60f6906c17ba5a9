// Broken on purpose: compare and swap where each child swaps its own copy of the register.
//
//   ./cas_server_private                in one terminal
//   ../lab02_tcp_iterative/cas_client localhost 0 7              in another: 0, the value before
//   ../lab02_tcp_iterative/cas_client localhost 7 8              0 again: where has the 7 gone?
//
// Look at what fork copies: all memory, as it is at that moment. What a child writes, no other process reads.
// cas_server_shared has its register in memory that fork does not copy.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "cas_register.hpp"
#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "line_buffer.hpp"
#include "line_cas.hpp"
#include "lingering_close.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, CompareAndSwapRegister& cas_register) {
    line_buffer lines;
    std::array<char, 1024> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file. Half a line is no line.
        if (received == 0) return;
        lines.append({buffer.data(), static_cast<std::size_t>(received)});
        // The replies to one chunk go in one send: many small ones are slow, as nagle shows.
        std::string replies;
        try {
            while (const auto line = lines.next()) replies += line_cas(cas_register, *line) + '\n';
        } catch (const line_too_long& error) {
            send_all(connection, replies + error.what() + '\n');
            return linger_before_close(connection);
        }
        send_all(connection, replies);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    struct sigaction forget = {};
    forget.sa_handler = SIG_IGN;
    check("sigaction", sigaction(SIGCHLD, &forget, nullptr));
    unique_fd listener = listen_on(given.address(), given.port(22222));

    // One register for all clients; but each child gets a copy.
    CompareAndSwapRegister cas_register;
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
                serve(connection, cas_register);
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
