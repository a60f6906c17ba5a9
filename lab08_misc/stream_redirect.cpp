// Programs that use only std::cin and std::cout converse over a socket and do not notice.
//
//   ./stream_redirect 3                 1 output, 2 input, 3 both, 4 both as server, 5 both, and answers
//   ./stream_redirect deadlock          end it with Ctrl-C
//
// Look at client3: it prints, and reads the answer to what it has printed. Its line waits in a buffer: it
// leaves because std::cin is tied to std::cout, and flushes it before it waits. Untie them, as the deadlock
// does, and each process waits for the other for ever. In client1 and client4, std::endl flushes.
#include <err.h>
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>
#include <map>
#include <stdexcept>
#include <string>

#include "end_with_parent.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "socket_stream.hpp"
#include "stream_redirect.hpp"

/// Returns the next line. Throws std::runtime_error if there is none.
std::string read_line(std::istream& stream) {
    std::string line;
    if (!std::getline(stream, line)) throw std::runtime_error{"the other side has gone"};
    return line;
}

void server1(meeting_point& here) {
    socket_stream client{accept_at(here)};
    for (int i = 0; i < 3; ++i) {
        const std::string line = read_line(client);
        std::cout << "server " << getpid() << " got [" << line << "]" << std::endl;
    }
}

void client1(meeting_point& here) {
    const redirection to_server = redirect_out(here);
    for (int i = 0; i < 3; ++i) std::cout << "client " << getpid() << ": " << i << std::endl;
}

void server2(meeting_point& here) {
    socket_stream client{accept_at(here)};
    for (int i = 0; i < 3; ++i) client << "server " << getpid() << ": " << i << std::endl;
}

void client2(meeting_point& here) {
    const redirection from_server = redirect_in(here);
    for (int i = 0; i < 3; ++i) {
        const std::string line = read_line(std::cin);
        std::cout << "client " << getpid() << " got [" << line << "]" << std::endl;
    }
}

void server3(meeting_point& here) {
    socket_stream client{accept_at(here)};
    for (int i = 0; i < 3; ++i) {
        const std::string line = read_line(client);
        client << "server " << getpid() << " got [" << line << "]" << std::endl;
    }
}

void client3(meeting_point& here) {
    const redirection with_server = redirect_both_as_client(here);
    for (int i = 0; i < 3; ++i) {
        // It leaves when std::cin is about to wait.
        std::cout << "client " << getpid() << ": " << i << '\n';
        const std::string line = read_line(std::cin);
        // std::cerr is not redirected.
        std::cerr << "client " << getpid() << " got [" << line << "]" << std::endl;
    }
}

/// Asks three times through `client`, and prints the answers.
void ask(socket_stream& client) {
    for (int i = 0; i < 3; ++i) {
        client << "server " << getpid() << ": " << i << std::endl;
        const std::string line = read_line(client);
        std::cout << "server " << getpid() << " got [" << line << "]" << std::endl;
    }
}

/// Answers three times, through std::cin and std::cout.
void answer() {
    for (int i = 0; i < 3; ++i) {
        const std::string line = read_line(std::cin);
        std::cout << "client " << getpid() << " got [" << line << "]" << std::endl;
    }
}

void server4(meeting_point& here) {
    socket_stream client{connect_to(here)};
    ask(client);
}

void client4(meeting_point& here) {
    // Here the "client" accepts.
    const redirection with_server = redirect_both_as_server(here);
    answer();
}

void server5(meeting_point& here) {
    socket_stream client{accept_at(here)};
    ask(client);
}

void client5(meeting_point& here) {
    const redirection with_server = redirect_both_as_client(here);
    answer();
}

void client_deadlock(meeting_point& here) {
    std::cin.tie(nullptr);
    std::cerr << "client " << getpid() << ": prints, does not flush, and waits for the answer\n"
              << "server: waits for the line that is still in the client's buffer\n";
    client3(here);
}

struct demonstration {
    void (*server)(meeting_point&);
    void (*client)(meeting_point&);
};

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "1|2|3|4|5|deadlock", 1, 1};
    const std::map<std::string, demonstration> demonstrations{
        {"1", {server1, client1}}, {"2", {server2, client2}}, {"3", {server3, client3}},
        {"4", {server4, client4}}, {"5", {server5, client5}}, {"deadlock", {server3, client_deadlock}}};
    const auto chosen = demonstrations.find(given.words[0]);
    if (chosen == demonstrations.end()) given.wrong("no demonstration '" + given.words[0] + "'");

    meeting_point here;
    const pid_t parent = getpid();
    const pid_t child = check("fork", fork());
    if (child == 0) {
        end_with_parent(parent);
        chosen->second.server(here);
        return 0;
    }
    chosen->second.client(here);
    int status = 0;
    check("waitpid", waitpid(child, &status, 0));
    return status == 0 ? 0 : 1;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
