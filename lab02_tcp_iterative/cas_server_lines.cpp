// Compare and swap over TCP, pass 2: lines are assembled from whatever recv returns.
//
//   ./cas_server_lines                          in one terminal
//   ./cas_client_split localhost 0 7            in another: one line in four sends
//   ./cas_client_raw localhost $'7 8\n8 9\n'    two lines in one send
//
// Look at the diff to cas_server, pass 1, which takes each recv for a line: what a client sends in one piece
// may arrive in four, and the other way round. What remains is that a second client waits: see lab04.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <chrono>
#include <exception>
#include <iostream>
#include <span>
#include <string>
#include <string_view>

#include "cas_register.hpp"
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
    const unique_fd listener = listen_on(given.address(), given.port(22222));

    // One register for all clients.
    CompareAndSwapRegister cas_register;
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::cout << "connected " << to_string(client) << '\n';
        try {
            serve(connection, cas_register);
        } catch (const std::exception& error) {
            // It ends this client's connection, and no other.
            warnx("%s", error.what());
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
