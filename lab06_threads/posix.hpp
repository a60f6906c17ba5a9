// What every program needs, but no lab teaches: a checked call, a descriptor that closes itself, an address
// as text. The calls that are taught stay in the programs, under their own names.
#pragma once

#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <stdexcept>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

/// Returns the result of a system call; throws std::system_error ("bind: Address already in use") if it
/// is -1. `call` is the name of the call as in its man page.
template <typename Result>
Result check(const char* call, Result result) {
    if (result == -1) throw std::system_error{errno, std::generic_category(), call};
    return result;
}

/// Owns a file descriptor, and closes it in its destructor. It can be moved, but not copied.
class unique_fd {
 public:
    unique_fd() = default;
    explicit unique_fd(int fd) : fd_{fd} {}
    unique_fd(unique_fd&& other) noexcept : fd_{std::exchange(other.fd_, -1)} {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        // The old descriptor is closed with `other`.
        std::swap(fd_, other.fd_);
        return *this;
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd& operator=(const unique_fd&) = delete;
    ~unique_fd() { reset(); }

    int get() const { return fd_; }
    /// Returns the descriptor, which the caller closes from now on.
    int release() { return std::exchange(fd_, -1); }
    /// Closes the descriptor now. Best effort: a failed close leaves nothing that could be done.
    void reset() {
        if (fd_ != -1) close(std::exchange(fd_, -1));
    }

 private:
    int fd_ = -1;
};

/// A socket address of any family, in the form that bind, connect, accept and recvfrom take.
struct endpoint {
    sockaddr_storage storage{};
    socklen_t size = sizeof storage;

    sockaddr* get() { return reinterpret_cast<sockaddr*>(&storage); }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

/// Returns the addresses of `host` (a name, IPv4 or IPv6), best first, with `port`; getaddrinfo(3).
/// Throws std::runtime_error if there is none.
inline std::vector<endpoint> resolve(const std::string& host, int port) {
    addrinfo hints{};
    // One entry per address, not one per protocol.
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list))
        throw std::runtime_error{"getaddrinfo: " + host + ": " + gai_strerror(error)};
    std::vector<endpoint> found;
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        endpoint& next = found.emplace_back();
        next.size = entry->ai_addrlen;
        std::copy_n(reinterpret_cast<const char*>(entry->ai_addr), next.size,
                    reinterpret_cast<char*>(&next.storage));
    }
    freeaddrinfo(list);
    return found;
}

/// Returns "127.0.0.1:4444" or "[::1]:4444"; getnameinfo(3).
inline std::string to_string(const endpoint& address) {
    char host[NI_MAXHOST];
    char port[NI_MAXSERV];
    if (getnameinfo(address.get(), address.size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) != 0)
        return "?:?";
    const std::string name = host;
    return (name.find(':') == name.npos ? name : "[" + name + "]") + ":" + port;
}
