// A thread per client in one call: what upper_server spells out, for the servers after it.
#pragma once

#include <err.h>

#include <exception>
#include <iostream>
#include <syncstream>
#include <system_error>
#include <thread>
#include <utility>

#include "posix.hpp"

/// Starts a thread that calls `serve(connection)`, where an exception ends this client's connection only,
/// closes the connection and logs `disconnected HOST:PORT`. Nobody waits for the thread. If it cannot be
/// started, the client is turned away: says so on stderr, and closes and logs here.
template <typename Serve>
void start_client_thread(unique_fd connection, const endpoint& client, Serve serve) {
    // BEGIN SOLUTION: start a thread that owns the connection, and serves, closes and logs, as upper_server does.
    const auto serve_it = [client, serve](const unique_fd& mine) {
        try {
            serve(mine);
        } catch (const std::exception& error) {
            warnx("%s", error.what());
        }
        std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
    };
    try {
        std::thread{serve_it, std::move(connection)}.detach();
    } catch (const std::system_error& error) {
        warnx("thread: %s", error.what());
        std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
    }
    // END SOLUTION
}
