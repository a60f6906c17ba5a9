// The loop once more, as a library that calls back (dispatcher.hpp): the echo service is the ten lines of a
// class.
//
//   ./callback_server                       in one terminal
//   ./echo_client localhost Hello network   (lab02's) in another
//
// Look at echo_client_handler: no loop, no wait, no buffer. The price: the program does not call any more, it
// is called, and what a client is at must be kept in the object from one call to the next. The loops of
// graphical programs, of Node and of Asio are of this kind. Next: io_models.
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <ctime>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "descriptor_limit.hpp"
#include "dispatcher.hpp"
#include "options.hpp"
#include "posix.hpp"

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Returns the time as text, "Sun Jun 18 19:37:54 2000"; ctime(3).
std::string now() {
    const std::time_t seconds = std::time(nullptr);
    std::array<char, 26> text;                                 // as ctime_r wants it
    return {ctime_r(&seconds, text.data()), text.size() - 2};  // without its newline
}

class echo_acceptor : public acceptor {
 public:
    echo_acceptor(unique_fd listener, event_loop& loop) : acceptor{std::move(listener)}, loop_{loop} {}
    void handle_accept(unique_fd connection, const endpoint& client) override;

 private:
    event_loop& loop_;
};

class echo_client_handler : public buffered_connection {
 public:
    echo_client_handler(unique_fd connection, std::string name, echo_acceptor& door)
        : buffered_connection{std::move(connection)}, name_{std::move(name)}, door_{door} {
        std::cout << "connected " << name_ << '\n';
    }
    void handle_read() override {
        const std::string chunk = receive();
        if (!chunk.empty()) send("Echo=>" + chunk + " at " + now());
    }
    void handle_close() override {
        std::cout << "disconnected " << name_ << '\n';
        door_.handle_room();
    }

 private:
    std::string name_;
    echo_acceptor& door_;
};

void echo_acceptor::handle_accept(unique_fd connection, const endpoint& client) {
    loop_.add(std::make_unique<echo_client_handler>(std::move(connection), to_string(client), *this));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(50007)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe
    raise_descriptor_limit();

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    event_loop loop;
    auto owned = std::make_unique<echo_acceptor>(std::move(listener), loop);
    echo_acceptor& door = *owned;
    loop.add(std::move(owned));
    while (true) loop.turn(door.readable() ? -1 : 1000);  // while full, it is asked again once a second
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
