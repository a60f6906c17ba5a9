// Serves the files of one directory: a name and a newline in, `OK SIZE` and the file's bytes out. sendfile
// moves them from the file to the socket inside the kernel: they never pass through this program.
//
//   ./file_server_sendfile .                    in one terminal
//   echo posix.hpp | nc localhost 2000          in another
//   echo ../README.md | nc localhost 2000       Error: outside the directory
//
// Look at send_file: sendfile, like send, takes as much as fits, and 2 GiB at most in one call. It has no
// flags, and so no MSG_NOSIGNAL: SIGPIPE is ignored in the whole process.
#include <err.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <syncstream>
#include <utility>

#include "failed_accept.hpp"
#include "line_buffer.hpp"
#include "lingering_close.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "open_beneath.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "stop.hpp"
#include "thread_per_client.hpp"

/// Sends the file's first `size` bytes. Throws std::system_error if the connection breaks, std::runtime_error
/// if the file has become shorter.
void send_file(const unique_fd& connection, const unique_fd& file, off_t size) {
    // BEGIN SOLUTION: move bytes from the file to the socket inside the kernel, until `size` bytes are sent.
    while (size > 0) {
        const auto wanted = static_cast<std::size_t>(size);
        const auto count = check("sendfile", sendfile(connection.get(), file.get(), nullptr, wanted));
        if (count == 0) throw std::runtime_error{"the file has become shorter"};
        size -= count;
    }
    // END SOLUTION
}

/// Answers one request. Throws not_served before anything is sent.
void reply(const unique_fd& connection, const unique_fd& directory, const std::string& name) {
    const unique_fd file = open_beneath(directory, name);
    struct stat status;
    check("fstat", fstat(file.get(), &status));
    send_all(connection, "OK " + std::to_string(status.st_size) + "\n");
    send_file(connection, file, status.st_size);
}

/// Serves one client: a line, its reply, the end. Throws std::system_error if the connection breaks.
void serve(const unique_fd& connection, const unique_fd& directory) {
    std::array<char, 1024> buffer;
    line_buffer lines;
    std::optional<std::string> line;
    try {
        while (!(line = lines.next())) {
            const auto received = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0));
            // 0 is the client's end of file. Half a line is no line.
            if (received == 0) return;
            lines.append({buffer.data(), static_cast<std::size_t>(received)});
        }
        reply(connection, directory, *line);
    } catch (const not_served& error) {
        send_all(connection, std::string{"Error: "} + error.what() + "\n");
    } catch (const line_too_long& error) {
        send_all(connection, std::string{"Error: "} + error.what() + "\n");
    }
    linger_before_close(connection);
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pa", "[-p PORT] [-a ADDRESS] DIRECTORY", 1, 1};
    start_log();
    exit_on_stop_signals();
    // BEGIN SOLUTION: a client that leaves does not end the server, although sendfile has no MSG_NOSIGNAL.
    struct sigaction ignore = {};
    ignore.sa_handler = SIG_IGN;
    check("sigaction", sigaction(SIGPIPE, &ignore, nullptr));
    // END SOLUTION
    const unique_fd directory{check("open", open(given.words[0].c_str(), O_PATH | O_DIRECTORY))};
    const unique_fd listener = listen_on(given.address(), given.port(2000));

    const auto serve_it = [&directory](const unique_fd& mine) { serve(mine, directory); };
    while (true) {
        endpoint client;
        unique_fd connection{accept(listener.get(), client.get(), &client.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(client) << '\n';
        start_client_thread(std::move(connection), client, serve_it);
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
