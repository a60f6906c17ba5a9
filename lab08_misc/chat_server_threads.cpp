// The chat of chat_server, from the same contract in another scheme: two threads per client, one that reads
// and one that writes. A lock around the room makes the order that is the same for all.
//
//   ./chat_server_threads               in one terminal
//   nc localhost 4000                   in two others: give a name, talk, /who, /msg NAME TEXT, /quit
//   ./chat_load localhost               how long a line takes to all others
//
// Look for the calls that may wait, recv and send: neither is made while the room is locked. Compare with
// chat_server: what became shorter, what needs more care, what costs more memory and time?
#include <err.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <exception>
#include <iostream>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <syncstream>
#include <thread>
#include <utility>

#include "descriptor_limit.hpp"
#include "failed_accept.hpp"
#include "lingering_close.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"
#include "thread_per_client.hpp"

constexpr std::size_t longest_line = 1024;
constexpr std::size_t longest_name = 32;
constexpr std::size_t most_waiting = 65536;
constexpr std::chrono::seconds lingering{2};

bool is_control(char c) {
    return (c >= 0 && c < ' ') || c == '\x7f';
}

bool is_name(std::string_view text) {
    const auto allowed = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
               c == '_';
    };
    return !text.empty() && text.size() <= longest_name && std::ranges::all_of(text, allowed);
}

/// What the room and the two threads of a client share; the room's lock guards all but the connection.
struct client {
    const unique_fd& connection;
    // Empty until it has one, and when it has left the chat.
    std::string name{};
    // What waits to be sent.
    std::string output{};
    // It gets what waits, and nothing more.
    bool leaving = false;
    std::condition_variable changed{};
};

class room {
 public:
    /// Does what a line of this client asks for. Returns false if the client leaves.
    bool hear(client& one, const std::string& line) {
        const std::scoped_lock lock{mutex_};
        if (one.name.empty())
            take_name(one, line);
        else if (std::ranges::any_of(line, is_control))
            put(one, "* Control byte refused");
        else if (line == "/quit")
            return false;
        else if (line == "/who")
            tell_names(one);
        else if (line.starts_with('/'))
            tell_privately(one, line);
        else if (!line.empty())
            tell_others(one, one.name + ": " + line);
        return true;
    }

    void tell(client& to, const std::string& line) {
        const std::scoped_lock lock{mutex_};
        put(to, line);
    }

    /// The client leaves: it gets what waits and `last_words`, the others are told. May be called twice.
    void leave(client& one, const std::string& last_words) {
        const std::scoped_lock lock{mutex_};
        if (!last_words.empty()) put(one, last_words);
        one.leaving = true;
        one.changed.notify_one();
        if (one.name.empty()) return;
        names_.erase(one.name);
        tell_others(one, "* " + std::exchange(one.name, "") + " has left");
    }

    /// What a client's writer does: it sends what waits, until the client leaves and nothing waits, or until
    /// the connection breaks.
    void send_output(client& one) {
        std::unique_lock lock{mutex_};
        auto deadline = std::chrono::steady_clock::time_point::max();
        while (true) {
            one.changed.wait(lock, [&one] { return one.leaving || !one.output.empty(); });
            if (one.output.empty()) return;
            const std::string piece = one.output.substr(0, 16384);
            lock.unlock();
            // It waits at most a second, by SO_SNDTIMEO.
            const auto sent = send(one.connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
            const int error = sent == -1 ? errno : 0;
            lock.lock();
            const auto now = std::chrono::steady_clock::now();
            if (one.leaving) deadline = std::min(deadline, now + lingering);
            if (now >= deadline || (sent == -1 && error != EAGAIN && error != EINTR)) return;
            if (sent > 0) one.output.erase(0, static_cast<std::size_t>(sent));
        }
    }

 private:
    void take_name(client& one, const std::string& name) {
        if (!is_name(name)) return put(one, "* A name has 1 to 32 letters, digits, - or _. Your name?");
        if (!names_.emplace(name, &one).second) return put(one, "* " + name + " is taken. Your name?");
        one.name = name;
        put(one, "* Hello " + name);
        tell_others(one, "* " + name + " has joined");
    }

    void tell_names(client& one) {
        std::string all;
        for (const auto& [name, who] : names_) all += (all.empty() ? "* Here: " : ", ") + name;
        put(one, all);
    }

    void tell_privately(client& from, const std::string& line) {
        const std::size_t space = line.find(' ', 5);
        if (!line.starts_with("/msg ") || space == line.npos || space + 1 == line.size())
            return put(from, "* Unknown command");
        const auto found = names_.find(line.substr(5, space - 5));
        if (found == names_.end()) return put(from, "* No such name");
        put(*found->second, from.name + " (private): " + line.substr(space + 1));
    }

    void tell_others(const client& from, const std::string& line) {
        for (const auto& [name, to] : names_)
            if (to != &from) put(*to, line);
    }

    /// Adds a line to what waits for the client. If it is too much, the client is cut off.
    void put(client& to, const std::string& line) {
        if (to.leaving) return;
        if (to.output.size() + line.size() >= most_waiting) {
            to.leaving = true;
            to.output.clear();
            // It wakes the reader, and the writer. Best effort: the connection may be broken already.
            shutdown(to.connection.get(), SHUT_RDWR);
        } else {
            to.output += line + '\n';
        }
        to.changed.notify_one();
    }

    std::mutex mutex_;
    std::map<std::string, client*> names_;
};

/// What a client's reader does: it takes lines until the client leaves. Returns the last line for it, if
/// there is one. Throws std::system_error if the connection breaks.
std::string converse(room& chat, client& one) {
    chat.tell(one, "* Your name?");
    std::string input;
    std::array<char, 4096> buffer;
    while (true) {
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), 0);
        if (received == -1 && errno == EINTR) continue;
        // SO_RCVTIMEO is the idle limit.
        if (received == -1 && errno == EAGAIN) return "* Idle too long";
        // 0 is the client's end of file. Half a line is no line.
        if (check("recv", received) == 0) return "";
        input.append(buffer.data(), static_cast<std::size_t>(received));
        std::size_t begin = 0;
        while (true) {
            const std::size_t end = input.find('\n', begin);
            if (std::min(end, input.size()) - begin > longest_line) return "* Line too long";
            if (end == input.npos) break;
            if (!chat.hear(one, input.substr(begin, end - begin))) return "* Goodbye";
            begin = end + 1;
        }
        input.erase(0, begin);
    }
}

/// Serves one client. Throws std::system_error if the connection breaks.
void serve(room& chat, const unique_fd& connection) {
    client one{connection};
    std::jthread writer{[&chat, &one] { chat.send_output(one); }};
    try {
        chat.leave(one, converse(chat, one));
    } catch (const std::exception&) {
        // The writer has to end first, and the others have to be told.
        chat.leave(one, "");
        throw;
    }
    writer.join();
    linger_before_close(connection);
}

/// Sets the limit of time for recv or send on this connection; socket(7), SO_RCVTIMEO. 0: none.
void set_limit(const unique_fd& connection, int option, std::chrono::duration<double> limit) {
    const auto all = std::chrono::ceil<std::chrono::microseconds>(limit).count();
    const timeval time{.tv_sec = all / 1'000'000, .tv_usec = all % 1'000'000};
    check("setsockopt", setsockopt(connection.get(), SOL_SOCKET, option, &time, sizeof time));
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "paw", "[-p PORT] [-a ADDRESS] [-w SECONDS]"};
    const std::chrono::duration<double> limit{given.number('w', 0.0, 0.0, 86400.0)};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    const unique_fd listener = listen_on(given.address(), given.port(4000));

    room chat;
    while (true) {
        // BEGIN SOLUTION: accept a client and start its threads.
        endpoint address;
        unique_fd connection{accept(listener.get(), address.get(), &address.size)};
        if (connection.get() == -1) {
            rest_after_failed_accept();
            continue;
        }
        std::osyncstream{std::cout} << "connected " << to_string(address) << '\n';
        start_client_thread(std::move(connection), address, [&chat, limit](const unique_fd& mine) {
            set_limit(mine, SO_RCVTIMEO, limit);
            set_limit(mine, SO_SNDTIMEO, std::chrono::seconds{1});
            serve(chat, mine);
        });
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
