// A small world for a server that is explored: clients in the same process, and no network.
//
// With EXPLORE_CLIENTS, the server's TCP sockets are Unix domain sockets: what is sent is there at once, so
// that a run depends on the schedule alone. The clients are threads of the explorer. They begin when the
// server listens, and each follows its script:
//
//   say one; line; leave | say two; done; end
//
//   say TEXT  sends the line          line   waits for a line     leave  closes the connection
//   done      sends no more           end    waits for the end of the stream
//   stop      SIGTERM to the server, whose main thread takes it
//
// What they do is part of the output: `client-1 gets ONE`.
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "schedules.hpp"

using namespace schedules;

namespace {

constexpr int first_port = 51'000;  // of client 0; they are numbered from 1

sockaddr_in told_address{};  // what the server believes that it listens at
sockaddr_un true_address{};  // where it does
socklen_t true_size = 0;
int listener = -1;
std::array<int, 16> client_threads{};  // their numbers
std::array<int, 16> client_sockets{};
int client_count = 0;

void say(const std::string& line) {
    const auto real = real_function<decltype(::write), "write">::get();
    [[maybe_unused]] const auto written = real(STDOUT_FILENO, line.data(), line.size());
}

/// The name that a client's socket is bound to, from which accept knows its number. An abstract one; unix(7).
socklen_t name_of(int number, sockaddr_un& name) {
    name.sun_family = AF_UNIX;
    name.sun_path[0] = '\0';
    const int size = std::snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "explored-%d-%d",
                                   static_cast<int>(getpid()), number);
    return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + static_cast<std::size_t>(size));
}

/// One client: what it does, and its connection.
class client {
 public:
    client(int number, std::string script) : number_{number}, script_{std::move(script)} {}

    void act() {
        connect();
        for (std::size_t begin = 0; begin < script_.size();) {
            const std::size_t end = std::min(script_.find(';', begin), script_.size());
            step(trimmed(std::string_view{script_}.substr(begin, end - begin)));
            begin = end + 1;
        }
    }

 private:
    static std::string_view trimmed(std::string_view text) {
        while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
        while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
        return text;
    }

    void tell(std::string_view what) const {
        say("client-" + std::to_string(number_) + " " + std::string{what} + "\n");
    }

    void connect() {
        const auto make = real_function<decltype(::socket), "socket">::get();
        const auto name_it = real_function<decltype(::bind), "bind">::get();
        const auto reach = real_function<decltype(::connect), "connect">::get();
        connection_ = make(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        client_sockets[static_cast<std::size_t>(number_ - 1)] = connection_;
        sockaddr_un mine{};
        name_it(connection_, reinterpret_cast<sockaddr*>(&mine), name_of(number_, mine));
        if (reach(connection_, reinterpret_cast<sockaddr*>(&true_address), true_size) == 0)
            tell("connects");
        else
            tell("is refused");  // the server has closed its socket
    }

    void step(std::string_view order) {
        if (order.starts_with("say ")) {
            point();
            const auto real = real_function<decltype(::send), "send">::get();
            const std::string line = std::string{order.substr(4)} + "\n";
            const bool sent = real(connection_, line.data(), line.size(), MSG_NOSIGNAL) != -1;
            tell((sent ? "says " : "says in vain ") + std::string{order.substr(4)});
        } else if (order == "line" || order == "end") {
            std::string got;
            char one = '\0';
            while (receive(one) && (order == "end" || one != '\n')) got += one == '\n' ? ' ' : one;
            tell("gets " + std::string{trimmed(got)} + (over_ ? " and the end" : ""));
        } else if (order == "done") {
            point();
            ::shutdown(connection_, SHUT_WR);
            tell("is done");
        } else if (order == "leave") {
            point();
            const auto real = real_function<decltype(::close), "close">::get();
            real(connection_);
            tell("leaves");
        } else if (order == "stop") {
            point();
            tell("sends SIGTERM");
            signal_main(SIGTERM);
        } else if (!order.empty())
            finish(outcome::cannot, "a client cannot %s", std::string{order}.c_str());
    }

    bool receive(char& one) {
        pollfd ready{connection_, POLLIN, 0};
        wait_until_ready(&ready, 1, no_deadline);
        const auto real = real_function<decltype(::recv), "recv">::get();
        over_ = real(connection_, &one, 1, 0) <= 0;
        return !over_;
    }

    int number_;
    std::string script_;
    int connection_ = -1;
    bool over_ = false;
};

void* begin_client(void* given) {
    auto* mine = static_cast<client*>(given);
    mine->act();
    delete mine;
    return nullptr;
}

bool is_ours(int fd) {
    int domain = 0;
    socklen_t size = sizeof domain;
    const int saved = errno;
    const bool ours =
        in_a_small_world() && getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
    errno = saved;
    return ours;
}

/// The address of the client that was accepted, as if it came from the network.
void tell_address(const sockaddr_un& from, sockaddr* address, socklen_t* size) {
    if (address == nullptr || size == nullptr) return;
    int process = 0;
    int number = 0;
    std::sscanf(from.sun_path + 1, "explored-%d-%d", &process, &number);
    sockaddr_in told{};
    told.sin_family = AF_INET;
    told.sin_port = htons(static_cast<std::uint16_t>(first_port + number));
    told.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::memcpy(address, &told, std::min<std::size_t>(*size, sizeof told));
    *size = sizeof told;
}

/// The server's sockets.
std::vector<int> sockets() {
    std::vector<int> found;
    const auto clients_end = client_sockets.begin() + client_count;
    for (int fd = 0; fd < 256; ++fd)
        if (is_ours(fd) && std::find(client_sockets.begin(), clients_end, fd) == clients_end)
            found.push_back(fd);
    return found;
}

}  // namespace

namespace schedules {

int open_connections() {
    int count = 0;
    for (const int fd : sockets()) count += fd != listener ? 1 : 0;
    return count;
}

void end_server() {
    if (!active || !small_world || me < 0) return;
    const auto real = real_function<decltype(::close), "close">::get();
    for (const int fd : sockets()) real(fd);
    end_others(std::vector<int>(client_threads.begin(), client_threads.begin() + client_count));
}

}  // namespace schedules

#define EXPORT extern "C" __attribute__((visibility("default")))
#define UNLESS_IN_A_SMALL_WORLD(name, ...)                           \
    const auto real = real_function<decltype(::name), #name>::get(); \
    if (!in_a_small_world() || !explored()) return real(__VA_ARGS__)

/// The server ends: its threads do nothing more, and its clients see that.
EXPORT void _exit(int status) {
    const auto real = real_function<decltype(::_exit), "_exit">::get();
    end_server();
    real(status);
    __builtin_unreachable();
}

EXPORT int socket(int domain, int type, int protocol) noexcept {
    UNLESS_IN_A_SMALL_WORLD(socket, domain, type, protocol);
    const bool tcp = (domain == AF_INET || domain == AF_INET6) && (type & 15) == SOCK_STREAM;
    return tcp ? real(AF_UNIX, type, 0) : real(domain, type, protocol);
}

EXPORT int bind(int fd, const sockaddr* address, socklen_t size) noexcept {
    UNLESS_IN_A_SMALL_WORLD(bind, fd, address, size);
    if (!is_ours(fd)) return real(fd, address, size);
    if (address->sa_family == AF_INET) std::memcpy(&told_address, address, sizeof told_address);
    sockaddr_un any{};
    any.sun_family = AF_UNIX;
    return real(fd, reinterpret_cast<sockaddr*>(&any), sizeof(sa_family_t));  // the kernel chooses a name
}

EXPORT int setsockopt(int fd, int level, int name, const void* value, socklen_t size) noexcept {
    UNLESS_IN_A_SMALL_WORLD(setsockopt, fd, level, name, value, size);
    return is_ours(fd) && level != SOL_SOCKET ? 0 : real(fd, level, name, value, size);
}

EXPORT int getsockname(int fd, sockaddr* address, socklen_t* size) noexcept {
    UNLESS_IN_A_SMALL_WORLD(getsockname, fd, address, size);
    if (!is_ours(fd)) return real(fd, address, size);
    told_address.sin_family = AF_INET;
    std::memcpy(address, &told_address, std::min<std::size_t>(*size, sizeof told_address));
    *size = sizeof told_address;
    return 0;
}

EXPORT int listen(int fd, int backlog) noexcept {
    UNLESS_IN_A_SMALL_WORLD(listen, fd, backlog);
    const int result = real(fd, backlog);
    if (result != 0 || !is_ours(fd) || listener != -1) return result;
    listener = fd;
    true_size = sizeof true_address;
    const auto name = real_function<decltype(::getsockname), "getsockname">::get();
    name(fd, reinterpret_cast<sockaddr*>(&true_address), &true_size);
    std::string_view scripts{std::getenv("EXPLORE_CLIENTS")};
    for (int number = 1; !scripts.empty(); ++number) {
        const std::size_t end = std::min(scripts.find('|'), scripts.size());
        if (client_count == static_cast<int>(client_threads.size()))
            finish(outcome::cannot, "too many clients");
        client_sockets[static_cast<std::size_t>(client_count)] = -1;
        client_threads[static_cast<std::size_t>(client_count++)] =
            begin_thread("client-" + std::to_string(number), begin_client,
                         new client{number, std::string{scripts.substr(0, end)}});
        scripts.remove_prefix(std::min(end + 1, scripts.size()));
    }
    return result;
}

EXPORT int accept4(int fd, sockaddr* address, socklen_t* size, int flags) {
    const auto real = real_function<decltype(::accept4), "accept4">::get();
    if (!explored()) return real(fd, address, size, flags);
    if (!is_ours(fd)) return outside(fd, POLLIN, [&] { return real(fd, address, size, flags); });
    return outside(fd, POLLIN, [&] {
        sockaddr_un from{};
        socklen_t from_size = sizeof from;
        const int connection = real(fd, reinterpret_cast<sockaddr*>(&from), &from_size, flags);
        if (connection != -1) tell_address(from, address, size);
        return connection;
    });
}

EXPORT int accept(int fd, sockaddr* address, socklen_t* size) {
    const auto real = real_function<decltype(::accept), "accept">::get();
    if (!explored()) return real(fd, address, size);
    if (is_ours(fd)) return accept4(fd, address, size, 0);
    return outside(fd, POLLIN, [&] { return real(fd, address, size); });
}

EXPORT int shutdown(int fd, int how) noexcept {
    UNLESS_IN_A_SMALL_WORLD(shutdown, fd, how);
    if (is_ours(fd)) point();
    return real(fd, how);
}

EXPORT int close(int fd) {
    UNLESS_IN_A_SMALL_WORLD(close, fd);
    if (is_ours(fd)) point();
    const int result = real(fd);
    if (result == -1 && errno == EBADF)
        finish(outcome::misuse, "%s closes a descriptor that is not open", self().name);
    return result;
}
