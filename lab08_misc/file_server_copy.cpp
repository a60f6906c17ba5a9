// Serves the files of one folder: a name and a newline in, `OK SIZE` and the file's bytes out. Every byte
// passes through this program: read copies it out of the kernel, send copies it back in.
//
//   ./file_server_copy .                        in one terminal
//   echo posix.hpp | nc localhost 2000          in another
//   echo ../README.md | nc localhost 2000       Error: outside the folder
//
// Look at send_file, and run `diff file_server_copy.cpp file_server_sendfile.cpp` for the way without copies.
// A thread serves each client, as in lab06: one that does not read its file makes nobody wait.
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <exception>
#include <functional>
#include <iostream>
#include <optional>
#include <span>
#include <string>
#include <syncstream>
#include <thread>
#include <utility>

#include "finish.hpp"
#include "line_buffer.hpp"
#include "open_beneath.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"

std::atomic_flag stopping;

extern "C" void on_stop(int) {
    // In a signal handler only async-signal-safe calls (man 7 signal-safety): no std::cout, no exit.
    // _exit ends all threads at once; exit would destroy std::cout while they still use it.
    if (stopping.test_and_set()) pause();  // another thread is here: sa_mask holds back signals for one only
    const auto written = write(STDOUT_FILENO, "Exiting\n", 8);
    _exit(written == 8 ? 0 : 1);
}

/// Sends the file's first `size` bytes. Throws std::system_error if the client is gone, std::runtime_error
/// if the file has become shorter.
void send_file(const unique_fd& connection, const unique_fd& file, off_t size) {
    // BEGIN SOLUTION: read the file piece by piece, and send each piece, until `size` bytes are sent.
    std::array<char, 65536> buffer;
    while (size > 0) {
        const auto wanted = static_cast<std::size_t>(std::min<off_t>(size, buffer.size()));
        const auto count = check("read", read(file.get(), buffer.data(), wanted));
        if (count == 0) throw std::runtime_error{"the file has become shorter"};
        send_all(connection, std::span{buffer}.first(static_cast<std::size_t>(count)));
        size -= count;
    }
    // END SOLUTION
}

/// Answers one request. Throws not_served before anything is sent.
void reply(const unique_fd& connection, const unique_fd& folder, const std::string& name) {
    const unique_fd file = open_beneath(folder, name);
    struct stat status;
    check("fstat", fstat(file.get(), &status));
    send_all(connection, "OK " + std::to_string(status.st_size) + "\n");
    send_file(connection, file, status.st_size);
}

/// Serves one client: a line, its reply, the end. Throws std::system_error if the client is gone.
void serve(const unique_fd& connection, const unique_fd& folder) {
    std::array<char, 1024> buffer;
    line_buffer lines;
    std::optional<std::string> line;
    try {
        while (!(line = lines.next())) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            if (received == 0) return;  // half a line is no line
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
        }
        reply(connection, folder, *line);
    } catch (const not_served& error) {
        send_all(connection, std::string{"Error: "} + error.what() + "\n");
    } catch (const line_too_long& error) {
        send_all(connection, std::string{"Error: "} + error.what() + "\n");
    }
    finish(connection);
}

/// A client's thread, which owns the connection and closes it at its end.
void serve_client(unique_fd connection, endpoint client, const unique_fd& folder) {
    try {
        serve(connection, folder);
    } catch (const std::exception& error) {  // ends this client's connection, and nobody else's
        std::osyncstream{std::cerr} << program_invocation_short_name << ": " << error.what() << '\n';
    }
    std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';  // a line in one piece
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS] FOLDER", 1, 1};
    endpoint here = resolve(given.text('a', "127.0.0.1"), given.port(2000)).front();
    setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);  // each log line at once, also into a pipe

    struct sigaction stop {};
    stop.sa_handler = on_stop;
    sigfillset(&stop.sa_mask);  // a second signal waits: "Exiting" is printed once
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    const unique_fd folder{check("open", open(given.words[0].c_str(), O_PATH | O_DIRECTORY))};
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    const int on = 1;
    check("setsockopt", setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), SOMAXCONN));
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));
    std::cout << "listening on " << to_string(here) << '\n';

    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1 && errno != ECONNABORTED) {
            warn("accept");
            sleep(1);  // no descriptor or memory: the client waits on, accept would fail again at once
        }
        if (connection.get() == -1) continue;  // that client has gone again: man 2 accept, "Error handling"
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        try {
            std::thread{serve_client, std::move(connection), client, std::cref(folder)}.detach();
        } catch (const std::system_error& error) {  // no thread to be had: this client is turned away
            std::osyncstream{std::cerr} << program_invocation_short_name << ": thread: " << error.what()
                                        << '\n';
            std::osyncstream{std::cout} << "disconnected " << to_string(client) << '\n';
        }
    }
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
