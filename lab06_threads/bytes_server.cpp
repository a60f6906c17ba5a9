// N bytes for a line with the number N, by a thread per client.
//
//   ./bytes_server                      in one terminal
//   echo 10 | nc localhost 2000         in another: ten stars
//
// Look at the diff to lab04's: no child to reap, no copy of the descriptor to close, no exit to forget. A
// thread is cheaper to start than a process (spawn_cost measures it), and not free: bytes_server_prethreaded
// starts its threads beforehand.
#include <err.h>
#include <sys/socket.h>

#include <exception>
#include <iostream>
#include <syncstream>
#include <utility>

#include "bytes_service.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "thread_per_client.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        start_client_thread(std::move(connection), client, serve);
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
