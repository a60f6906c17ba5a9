// The same loop in a library that calls back (dispatcher.hpp): the echo service is a class of ten lines.
//
//   ./callback_server                       in one terminal
//   ./echo_client localhost Hello network   (lab02's) in another
//
// Look at echo_client_handler: no loop, no wait, no buffer. The price: the library calls the program, so the
// state of a client must be kept in its object from one call to the next. The loops of graphical programs, of
// Node and of Asio work like this. The next program is io_models.
#include <err.h>
#include <sys/socket.h>

#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <utility>

#include "descriptor_limit.hpp"
#include "dispatcher.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "now.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

class echo_acceptor : public acceptor {
 public:
    echo_acceptor(unique_fd listener, event_loop& loop) : acceptor{std::move(listener)}, loop_{loop} {}
    void handle_accept(unique_fd connection, const endpoint& client) override;

 private:
    event_loop& loop_;
};

class echo_client_handler : public buffered_connection {
 public:
    echo_client_handler(unique_fd connection, std::string name, echo_acceptor& from)
        : buffered_connection{std::move(connection)}, name_{std::move(name)}, acceptor_{from} {
        std::cout << "connected " << name_ << '\n';
    }
    void handle_read() override {
        const std::string chunk = receive();
        if (!chunk.empty()) send("Echo=>" + chunk + " at " + now());
    }
    void handle_close() override {
        std::cout << "disconnected " << name_ << '\n';
        acceptor_.descriptor_freed();
    }

 private:
    std::string name_;
    echo_acceptor& acceptor_;
};

void echo_acceptor::handle_accept(unique_fd connection, const endpoint& client) {
    loop_.add(std::make_unique<echo_client_handler>(std::move(connection), to_string(client), *this));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS]"};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    unique_fd listener = listen_on(given.address(), given.port(50007), SOCK_NONBLOCK);

    event_loop loop;
    auto owned = std::make_unique<echo_acceptor>(std::move(listener), loop);
    echo_acceptor& echo = *owned;
    loop.add(std::move(owned));
    // During a pause of the acceptor, ask it again after a second.
    while (true) loop.turn(echo.readable() ? -1 : 1000);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
