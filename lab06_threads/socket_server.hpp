// A small class library for servers, in the shape of Python's SocketServer: what to do for a client is a
// handler, how to do it for many at once is a mix-in, and neither knows the other.
#pragma once

#include <err.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <syncstream>
#include <thread>
#include <utility>

#include "posix.hpp"

/// What is to be done for one client; each gets an object of its own. Derive from it and write handle.
class request_handler {
 public:
    explicit request_handler(const unique_fd& request) : request_{request} {}
    virtual ~request_handler() = default;

    /// Serves the client; an exception ends its connection, and nothing else.
    virtual void handle() = 0;

 protected:
    const unique_fd& request_;  // the connection
};

/// Handles one client after the other.
template <typename Handler>
class tcp_server {
 public:
    explicit tcp_server(endpoint here)
        : listener_{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))} {
        const int on = 1;
        check("setsockopt", setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
        check("bind", bind(listener_.get(), here.get(), here.size));
        check("listen", listen(listener_.get(), SOMAXCONN));
        check("getsockname", getsockname(listener_.get(), here.get(), &here.size));
        std::cout << "listening on " << to_string(here) << '\n';
    }
    virtual ~tcp_server() = default;

    [[noreturn]] void serve_forever() {
        while (true) {
            endpoint client;
            unique_fd connection{accept(listener_.get(), client.get(), &client.size)};
            if (connection.get() == -1 && errno != ECONNABORTED) {
                warn("accept");
                sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
            }
            if (connection.get() == -1) continue;  // that client has gone again
            std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
            try {
                process_request(std::move(connection), client);
            } catch (
                const std::exception& error) {  // no thread or process to be had: the client is turned away
                report(error, client);
            }
        }
    }

 protected:
    /// How: here and now. The mix-ins override this.
    virtual void process_request(unique_fd connection, endpoint client) {
        finish_request(connection, client);
    }

    /// What: the handler's part, whichever thread or process it is done in.
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
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
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
    explicit forking(endpoint here) : Server{here} {
        struct sigaction forget {};
        forget.sa_handler = SIG_IGN;  // children leave no zombies: see lab04
        check("sigaction", sigaction(SIGCHLD, &forget, nullptr));
    }

 protected:
    void process_request(unique_fd connection, endpoint client) override {
        const pid_t parent = getpid();
        if (check("fork", fork()) != 0) return;  // the parent's copy of the connection is closed here
        try {
            check("prctl", prctl(PR_SET_PDEATHSIG, SIGTERM));  // the child ends when the parent ends,
            if (getppid() != parent) _exit(0);                 // or has ended already
            this->listener_.reset();
            this->finish_request(connection, client);
            _exit(0);
        } catch (const std::exception& error) {  // never back into the accept loop
            warnx("%s", error.what());
            _exit(1);
        }
    }
};
