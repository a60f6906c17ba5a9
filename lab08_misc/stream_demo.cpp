// What can be done with a socket once it is a std::iostream.
//
//   ./stream_demo copy < stream_demo | cmp - stream_demo      binary bytes
//   ./stream_demo lines                                       a conversation; type lines, then Ctrl-D
//   echo '"room 7" 3 21 22 20' | ./stream_demo object         an object, by << and >>
//   ./stream_demo flush                                       when bytes leave
//   ./stream_demo states                                      what end of file and errors look like
//   nc -l 2000                                                in one terminal, and in another:
//   ./stream_demo -p 2000 typed                               type what is written; ! flushes, ? reads a line
//
// Look at `object`: the operators know nothing of sockets; they were written for any stream. stream_redirect
// goes one step further, to programs that do not know of the socket either.
#include <err.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstddef>
#include <exception>
#include <functional>
#include <iomanip>
#include <iostream>
#include <map>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "send_all.hpp"
#include "socket_stream.hpp"

/// A name and numbers.
struct series {
    std::string name;
    std::vector<long> values;
};

std::ostream& operator<<(std::ostream& out, const series& s) {
    out << std::quoted(s.name) << ' ' << s.values.size();
    for (const long value : s.values) out << ' ' << value;
    return out;
}

std::istream& operator>>(std::istream& in, series& s) {
    std::size_t count = 0;
    in >> std::quoted(s.name) >> count;
    s.values.clear();
    for (long value; s.values.size() < count && in >> value;) s.values.push_back(value);
    return in;
}

/// Two sockets, connected with each other.
std::pair<unique_fd, unique_fd> connected_pair() {
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

void copy() {
    auto [here, there] = connected_pair();
    const std::jthread writer{[&there = there] { socket_stream{std::move(there)} << std::cin.rdbuf(); }};
    std::cout << socket_stream{std::move(here)}.rdbuf();
}

void lines() {
    auto [here, there] = connected_pair();
    const std::jthread other{[&there = there] {
        socket_stream stream{std::move(there)};
        for (std::string line; std::getline(stream, line);)
            stream << line.size() << " bytes: " << line << std::endl;
    }};
    socket_stream stream{std::move(here)};
    for (std::string line, answer; std::getline(std::cin, line);) {
        stream << line << std::endl;
        if (!std::getline(stream, answer)) throw std::runtime_error{"no answer"};
        std::cout << answer << std::endl;
    }
}

void object() {
    auto [here, there] = connected_pair();
    const std::jthread writer{[&there = there] {
        series s;
        std::cin >> s;
        socket_stream{std::move(there)} << s << std::endl;
    }};
    socket_stream stream{std::move(here)};
    series s;
    if (!(stream >> s)) throw std::runtime_error{"no object"};
    std::cout << s << std::endl;
}

void flush() {
    auto [here, there] = connected_pair();
    const auto print_arrived = [&there = there](const char* when) {
        int arrived = 0;
        check("ioctl", ioctl(there.get(), FIONREAD, &arrived));
        std::cout << when << ": " << arrived << " bytes have arrived" << std::endl;
    };
    {
        socket_stream stream{std::move(here)};
        stream << "hello";
        print_arrived("5 bytes written");
        stream << std::flush;
        print_arrived("flushed");
        stream << std::string(10000, '*');
        print_arrived("10000 more written");
        stream << std::endl;
        print_arrived("std::endl");
        stream << "goodbye";
        print_arrived("7 more written");
    }
    print_arrived("the stream has ended");
}

void print_state(const std::string& what, const std::ios& stream) {
    std::cout << what << ':' << (stream.good() ? " good" : "") << (stream.eof() ? " eof" : "")
              << (stream.fail() ? " fail" : "") << (stream.bad() ? " bad" : "") << std::endl;
}

void states() {
    std::string line;
    {
        auto [here, there] = connected_pair();
        socket_stream stream{std::move(here)};
        send_all(there, std::string{"whole\nhalf"});
        there.reset();
        for (const char* what : {"a whole line", "half a line", "nothing more"}) {
            std::getline(stream, line);
            print_state(what, stream);
        }
    }
    auto [here, there] = connected_pair();
    socket_stream stream{std::move(here)};
    stream << "unread" << std::endl;
    // A close with unread bytes: the other side gets a reset.
    there.reset();
    std::getline(stream, line);
    print_state("read after a reset", stream);
    // It forgets the error. The socket will tell again.
    stream.clear();
    stream << "too late" << std::endl;
    print_state("written after that", stream);
}

/// Writes each line that is typed, without its newline. `!` flushes, `?` reads a line and prints it. Behind
/// each comes the state of the stream, which begins anew with the next line.
void typed(int port) {
    socket_stream stream{connect_to("127.0.0.1", port)};
    for (std::string line, answer; std::getline(std::cin, line); answer.clear()) {
        stream.clear();
        if (line == "?")
            std::getline(stream, answer);
        else if (line == "!")
            stream << std::flush;
        else
            stream << line;
        print_state(answer, stream);
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] copy|lines|object|flush|states|typed", 1, 1};
    const std::map<std::string, std::function<void()>> demonstrations{
        {"copy", copy},   {"lines", lines},   {"object", object},
        {"flush", flush}, {"states", states}, {"typed", [&] { typed(given.port(2000)); }}};
    const auto chosen = demonstrations.find(given.words[0]);
    if (chosen == demonstrations.end()) given.wrong("no demonstration '" + given.words[0] + "'");
    // std::cin and std::cout read and write in blocks.
    std::ios::sync_with_stdio(false);
    chosen->second();
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
