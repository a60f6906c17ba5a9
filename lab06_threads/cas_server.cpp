// Compare and swap with a thread per client: all share one register, and use it one at a time.
//
//   ./cas_server                                        in one terminal
//   ../lab02_tcp_iterative/cas_client localhost 0 7     in others
//
// Look at the diff to lab02's cas_server_lines. There the register was used by one client at a time, because
// the server was; here several threads use it at once, and to read, compare and write must be one step for
// the others. lab04's cas_server_shared has the same problem between processes, lab05's cas_server has none.
#include <err.h>
#include <sys/socket.h>

#include <array>
#include <cstdint>
#include <exception>
#include <iostream>
#include <mutex>
#include <string>
#include <syncstream>
#include <utility>

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
#include "thread_per_client.hpp"

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

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, locked_register& cas_register) {
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
    locked_register cas_register;
    const auto serve_client = [&cas_register](const unique_fd& connection) {
        serve(connection, cas_register);
    };
    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        start_client_thread(std::move(connection), client, serve_client);
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
