// Compare and swap over TCP, pass 1. BROKEN on purpose: it takes each recv for one line.
//
//   ./cas_server                                in one terminal
//   ./cas_client localhost 0 7                  in another: right, most of the time
//   ./cas_client_split localhost 7 8            Bad Syntax, once, twice, three or four times
//   ./cas_client_raw localhost $'7 8\n8 9\n'    two lines, one answer
//
// Look at the end of a reply, too (./cas_client localhost 0 7 | od -c): \n\r, the wrong way round, as it
// stands in the lecture. The cure of both is cas_server_lines.
#include <err.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "cas_register.hpp"
#include "failed_accept.hpp"
#include "line_cas.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

/// Returns the reply to what one recv returned, as if it were one line.
std::string reply_to(CompareAndSwapRegister& cas_register, std::string_view chunk) {
    if (!chunk.ends_with('\n')) return "Bad Syntax";
    chunk.remove_suffix(1);
    return line_cas(cas_register, chunk);
}

/// Serves one client until it sends no more. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, CompareAndSwapRegister& cas_register) {
    std::array<char, 1000> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        // 0 is the client's end of file.
        if (received == 0) return;
        const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
        const std::string reply = reply_to(cas_register, chunk) + "\n\r";
        // One send, as in the lecture: what it did not take is lost.
        check("send", send(connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL));
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
