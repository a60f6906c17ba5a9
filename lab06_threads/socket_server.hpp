// A small class library for servers, in the shape of Python's SocketServer: a handler serves one client, a
// mix-in decides how many are served at once, and neither knows the other.
#pragma once

#include <err.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <string>
#include <syncstream>
#include <thread>
#include <utility>

#include "end_with_parent.hpp"
#include "failed_accept.hpp"
#include "listener.hpp"
#include "posix.hpp"

/// What to do for one client; each gets an object of its own. Derive from it and write handle.
class request_handler {
 public:
    explicit request_handler(const unique_fd& request) : request_{request} {}
    virtual ~request_handler() = default;

    /// Serves the client; an exception ends its connection, and nothing else.
    virtual void handle() = 0;

 protected:
    // The connection.
    const unique_fd& request_;
};

/// Handles one client after the other.
template <typename Handler>
class tcp_server {
 public:
    tcp_server(const std::string& address, int port) : listener_{listen_on(address, port)} {}
    virtual ~tcp_server() = default;

    [[noreturn]] void serve_forever() {
        while (true) {
            endpoint client;
            unique_fd connection{accept(listener_.get(), client.get(), &client.size)};
            if (connection.get() == -1) {
                rest_after_failed_accept();
                continue;
            }
            std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
            try {
                process_request(std::move(connection), client);
            } catch (const std::exception& error) {
                // No thread or process could be started: turn this client away.
                report(error, client);
            }
        }
    }

 protected:
    /// How: here and now. The mix-ins override this.
    virtual void process_request(unique_fd connection, endpoint client) {
        finish_request(connection, client);
    }

    /// What: the handler's part, in any thread or process.
    void finish_request(const unique_fd& connection, const endpoint& client) {
        try {
            Handler{connection}.handle();
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        } catch (const std::exception& error) {
            report(error, client);
        }
    }

    unique_fd listener_;

 private:
    static void report(const std::exception& error, const endpoint& client) {
        warnx("%s", error.what());
        std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
    }
};

/// Mix-in: each client in a thread of its own.
template <typename Server>
class threading : public Server {
 public:
    using Server::Server;

 protected:
    void process_request(unique_fd connection, endpoint client) override {
        std::thread{[this, connection = std::move(connection), client] {
            this->finish_request(connection, client);
        }}.detach();
    }
};

/// Mix-in: each client in a process of its own.
template <typename Server>
class forking : public Server {
 public:
    forking(const std::string& address, int port) : Server{address, port} {
        // Children leave no zombies: lab04's echo_server_sigign.
        struct sigaction action = {};
        action.sa_handler = SIG_IGN;
        check("sigaction", sigaction(SIGCHLD, &action, nullptr));
    }

 protected:
    void process_request(unique_fd connection, endpoint client) override {
        const pid_t parent = getpid();
        // The parent's copy of the connection is closed when it returns.
        if (check("fork", fork()) != 0) return;
        try {
            end_with_parent(parent);
            this->listener_.reset();
            this->finish_request(connection, client);
            _exit(0);
        } catch (const std::exception& error) {
            // Never back into the accept loop.
            warnx("%s", error.what());
            _exit(1);
        }
    }
};
