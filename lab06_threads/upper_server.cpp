// A thread per client: clients are served at once, in one process that all of them share.
//
//   ./upper_server                      in one terminal
//   nc localhost 4444                   in two others; type a line in each
//   ls /proc/$(pgrep upper_server)/task one number a thread
//
// Look at the diff to lab02's: the thread's function is the body of lab02's loop. Look at what the thread is
// given: the connection moves into it, so the thread owns it and closes it at its end. The program after
// this, upper_server_global, shows what happens otherwise; upper_server_pool starts its threads once.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <span>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "to_upper.hpp"

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection) {
    std::array<char, 16384> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::span chunk{buffer.data(), static_cast<std::size_t>(received)};
        to_upper(chunk);
        send_all(connection, chunk);
    }
}

/// The function of a client's thread. It owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client) {
    try {
        serve(connection);
    } catch (const std::exception& error) {
        // It ends this client's connection, and no other. If it left this function, it would end the process.
        warnx("%s", error.what());
    }
    // Several threads print: osyncstream writes the line in one piece.
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(4444));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        // BEGIN SOLUTION: start a thread that owns the connection; if there can be none, turn this client away.
        try {
            // No thread waits for the end of this one.
            std::thread{serve_client, std::move(connection), client}.detach();
        } catch (const std::system_error& error) {
            warnx("thread: %s", error.what());
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        }
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
