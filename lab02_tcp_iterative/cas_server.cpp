// Compare and swap over TCP, pass 1. BROKEN on purpose: it takes each recv for one line.
//
//   ./cas_server                                in one terminal
//   ./cas_client localhost 0 7                  in another: right, most of the time
//   ./cas_client_split localhost 7 8            Bad Syntax, once, twice, three or four times
//   ./cas_client_raw localhost $'7 8\n8 9\n'    two lines, one answer
//
// Look at the end of a reply, too (./cas_client localhost 0 7 | od -c): \n\r, the wrong way round, as it
// stands in the lecture. The cure of both is cas_server_lines.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "cas_register.hpp"
#include "line_cas.hpp"
#include "options.hpp"
#include "posix.hpp"

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns the reply to what one recv returned, as if it were one line.
std::string reply_to(CompareAndSwapRegister& cas_register, std::string_view chunk) {
    if (!chunk.ends_with('\n')) return "Bad Syntax";
    chunk.remove_suffix(1);
    return line_cas(cas_register, chunk);
}

/// Serves one client until it says that it will send no more. Throws std::system_error if it is gone.
void serve(const unique_fd& connection, CompareAndSwapRegister& cas_register) {
    std::array<char, 1000> buffer;
    while (true) {
        const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
        if (received == 0) return;  // the client's end of file
        const std::string_view chunk{buffer.data(), static_cast<std::size_t>(received)};
        const std::string reply = reply_to(cas_register, chunk) + "\n\r";
        // One send, as in the lecture: what it did not take is lost.
        check("send", send(connection.get(), reply.data(), reply.size(), MSG_NOSIGNAL));
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(22222)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    CompareAndSwapRegister cas_register;  // one for all clients
    while (true) {
        endpoint client;
        const unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::cout << "connected " << to_string(client) << '\n';
        try {
            serve(connection, cas_register);
        } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
        }
        std::cout << "disconnected " << to_string(client) << '\n';
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
