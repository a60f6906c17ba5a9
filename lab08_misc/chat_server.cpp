// A chat for many: what one client says, all others get, in one order that is the same for all of them.
//
//   ./chat_server                       in one terminal
//   nc localhost 4000                   in two others: give a name, talk, /who, /msg NAME TEXT, /quit
//   ./chat_load localhost               how long a line takes to all others
//
// Write it from its contract, in any scheme of this suite: a loop, threads, processes. Decide first what must
// never wait: a client that does not read delays no other. Its twin is chat_server_threads, the same contract
// in another scheme; measure both.
#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <exception>
#include <iostream>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "accept_pause.hpp"
#include "descriptor_limit.hpp"
#include "listener.hpp"
#include "log.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "stop.hpp"

using clock_type = std::chrono::steady_clock;
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

struct client {
    unique_fd connection;
    std::string address;
    clock_type::time_point last_heard = clock_type::now();
    // Empty until it has one, and when it has left the chat.
    std::string name{};
    // The beginning of a line.
    std::string input{};
    // What waits to be sent.
    std::string output{};
    // It gets what waits, then the end of file. Then the server waits for its end: a lingering close.
    bool leaving = false;
    clock_type::time_point left_at{};
    bool all_sent = false;
    // It has sent its end of file.
    bool silent = false;
    // Its connection can be closed.
    bool gone = false;
};

class chat {
 public:
    explicit chat(std::chrono::duration<double> limit) : limit_{limit} {}

    void add(unique_fd connection, const std::string& address) {
        std::cout << "connected " << address << '\n';
        clients_.push_back({std::move(connection), address});
        tell(clients_.back(), "* Your name?");
    }

    /// Adds what poll has to watch; in the order of the clients.
    void watch(std::vector<pollfd>& watched) const {
        for (const client& one : clients_) {
            short events = one.silent ? 0 : POLLIN;
            if (!one.output.empty()) events |= POLLOUT;
            watched.push_back({one.connection.get(), events, 0});
        }
    }

    /// Receives from the clients that are ready. `ready` begins with the first client's entry.
    void receive(const pollfd* ready) {
        for (client& one : clients_)
            if (((ready++)->revents & (POLLIN | POLLHUP | POLLERR)) != 0) receive_from(one);
    }

    /// Ends what has lasted too long, sends what can be sent, and closes what has ended. Returns whether a
    /// connection was closed.
    bool settle() {
        const auto now = clock_type::now();
        for (client& one : clients_) {
            if (one.leaving && now - one.left_at >= lingering) one.gone = true;
            if (!one.leaving && limit_.count() > 0 && now - one.last_heard >= limit_)
                leave(one, "* Idle too long");
            send_to(one);
        }
        announce_the_gone();
        return std::erase_if(clients_, [](const client& each) {
                   if (each.gone) std::cout << "disconnected " << each.address << '\n';
                   return each.gone;
               }) > 0;
    }

    /// Returns for how long poll may wait, in milliseconds; -1 if nothing has a time limit.
    int patience() const {
        auto until = clock_type::time_point::max();
        for (const client& one : clients_) {
            if (one.leaving)
                until = std::min(until, one.left_at + lingering);
            else if (limit_.count() > 0)
                until = std::min(until, one.last_heard + std::chrono::ceil<clock_type::duration>(limit_));
        }
        if (until == clock_type::time_point::max()) return -1;
        const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - clock_type::now());
        return static_cast<int>(std::clamp<long>(rest.count(), 0, 3'600'000));
    }

 private:
    void receive_from(client& one) {
        std::array<char, 4096> buffer;
        const auto received = recv(one.connection.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
        if (received == -1) {
            if (errno != EAGAIN && errno != EINTR) one.gone = true;
            return;
        }
        one.last_heard = clock_type::now();
        // 0 is the client's end of file. Half a line is no line.
        if (received == 0) {
            one.silent = true;
            return leave(one, "");
        }
        one.input.append(buffer.data(), static_cast<std::size_t>(received));
        std::size_t begin = 0;
        while (!one.leaving && !one.gone) {
            const std::size_t end = one.input.find('\n', begin);
            if (std::min(end, one.input.size()) - begin > longest_line) leave(one, "* Line too long");
            if (end == one.input.npos || one.leaving) break;
            hear(one, one.input.substr(begin, end - begin));
            begin = end + 1;
        }
        one.input.erase(0, one.leaving ? one.input.size() : begin);
    }

    void hear(client& one, const std::string& line) {
        if (one.name.empty()) return take_name(one, line);
        if (std::ranges::any_of(line, is_control)) return tell(one, "* Control byte refused");
        if (line.empty()) return;
        if (line.front() != '/') return tell_others(one, one.name + ": " + line);
        if (line == "/who") return tell_names(one);
        if (line == "/quit") return leave(one, "* Goodbye");
        const std::size_t space = line.find(' ', 5);
        if (!line.starts_with("/msg ") || space == line.npos || space + 1 == line.size())
            return tell(one, "* Unknown command");
        const auto found = names_.find(line.substr(5, space - 5));
        if (found == names_.end()) return tell(one, "* No such name");
        tell(*found->second, one.name + " (private): " + line.substr(space + 1));
    }

    void take_name(client& one, const std::string& name) {
        if (!is_name(name)) return tell(one, "* A name has 1 to 32 letters, digits, - or _. Your name?");
        if (!names_.emplace(name, &one).second) return tell(one, "* " + name + " is taken. Your name?");
        one.name = name;
        tell(one, "* Hello " + name);
        tell_others(one, "* " + name + " has joined");
    }

    void tell_names(client& one) {
        std::string all;
        for (const auto& [name, who] : names_) all += (all.empty() ? "* Here: " : ", ") + name;
        tell(one, all);
    }

    /// Adds a line to what waits for the client. If it is too much, the client is cut off.
    void tell(client& to, const std::string& line) {
        if (to.leaving || to.gone) return;
        if (to.output.size() + line.size() >= most_waiting) send_to(to);
        if (to.output.size() + line.size() >= most_waiting) to.gone = true;
        if (!to.gone) to.output += line + '\n';
    }

    void tell_others(const client& from, const std::string& line) {
        for (const auto& [name, to] : names_)
            if (to != &from) tell(*to, line);
    }

    /// The client gets what waits and `last_words`, and then the end.
    void leave(client& one, const std::string& last_words) {
        if (one.leaving) return;
        if (!last_words.empty()) tell(one, last_words);
        one.leaving = true;
        one.left_at = clock_type::now();
    }

    void send_to(client& one) {
        while (!one.gone && !one.output.empty()) {
            const auto sent =
                send(one.connection.get(), one.output.data(), one.output.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (sent == -1 && errno == EINTR) continue;
            if (sent == -1 && errno == EAGAIN) return;
            if (sent == -1)
                one.gone = true;
            else
                one.output.erase(0, static_cast<std::size_t>(sent));
        }
        if (!one.leaving || one.gone) return;
        if (one.silent) one.gone = true;
        // Best effort: if the client is gone, the next recv says so.
        if (!std::exchange(one.all_sent, true)) shutdown(one.connection.get(), SHUT_WR);
    }

    /// Tells the others who has left, until no more client is found to have left: to tell it may cut off
    /// another one, and a send may find that another one has gone.
    void announce_the_gone() {
        const auto has_left = [](const client& one) {
            return (one.leaving || one.gone) && !one.name.empty();
        };
        auto one = std::ranges::find_if(clients_, has_left);
        while (one != clients_.end()) {
            const std::string name = std::exchange(one->name, "");
            names_.erase(name);
            tell_others(*one, "* " + name + " has left");
            one = std::ranges::find_if(clients_, has_left);
            if (one != clients_.end()) continue;
            for (client& each : clients_) send_to(each);
            one = std::ranges::find_if(clients_, has_left);
        }
    }

    std::chrono::duration<double> limit_;
    // A list: names_ points to its elements.
    std::list<client> clients_;
    std::map<std::string, client*> names_;
};

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "paw", "[-p PORT] [-a ADDRESS] [-w SECONDS]"};
    const std::chrono::duration<double> limit{given.number('w', 0.0, 0.0, 86400.0)};
    start_log();
    exit_on_stop_signals();
    raise_descriptor_limit();
    const unique_fd listener = listen_on(given.address(), given.port(4000), SOCK_NONBLOCK);

    chat room{limit};
    accept_pause pause;
    std::vector<pollfd> watched;
    while (true) {
        // BEGIN SOLUTION: wait for clients and their lines, and serve them.
        const bool paused = pause.active();
        watched.assign(1, {paused ? -1 : listener.get(), POLLIN, 0});
        room.watch(watched);
        int patience = room.patience();
        // -1 is without a limit. A pause ends within a second.
        if (paused && (patience == -1 || patience > 1000)) patience = 1000;
        check("poll", poll(watched.data(), watched.size(), patience));
        room.receive(watched.data() + 1);
        if (watched.front().revents != 0) {
            endpoint address;
            unique_fd connection{accept(listener.get(), address.get(), &address.size)};
            if (connection.get() == -1)
                pause.accept_failed();
            else
                room.add(std::move(connection), to_string(address));
        }
        if (room.settle()) pause.descriptor_freed();
        // END SOLUTION
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
