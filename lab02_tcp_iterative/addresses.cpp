// Socket addresses: the bytes that bind and connect take, and how a name becomes one.
//
//   ./addresses                         the addresses of three families, and what localhost is
//   ./addresses ::1 4444
//   ./addresses www.debian.org https    with a network: what a browser finds
//
// Look at the port's two bytes: the most significant one comes first, whatever the machine's own order is.
// Then look at the list: one name has several addresses, of two families. posix.hpp's resolve makes that
// list for all other programs, and to_string prints an address.
#include <arpa/inet.h>
#include <err.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>

#include "options.hpp"
#include "posix.hpp"

/// Prints the first bytes of an address in hexadecimal, and its size.
template <typename Address>
void print_bytes(const char* name, const Address& address) {
    std::printf("%-13s %3zu bytes ", name, sizeof address);
    const auto* bytes = reinterpret_cast<const unsigned char*>(&address);
    for (const unsigned char byte : std::span{bytes, 16}) std::printf(" %02x", byte);
    std::printf("%s\n", sizeof address > 16 ? " ..." : "");
}

/// Prints port 4444 at this machine's own address, as each family spells it: ip(7), ipv6(7), unix(7).
void print_families() {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(4444);
    four.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    print_bytes("sockaddr_in", four);

    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(4444);
    six.sin6_addr = in6addr_loopback;
    print_bytes("sockaddr_in6", six);

    sockaddr_un local{};
    local.sun_family = AF_UNIX;
    std::strcpy(local.sun_path, "/tmp/socket");
    print_bytes("sockaddr_un", local);
    std::printf("htons(%d) is %d on this machine\n", 4444, htons(4444));
}

/// Prints each address that `host` and `service` (a name or a number) stand for, and returns a stream socket
/// that is bound to the first one which this machine can bind: getaddrinfo(3). Throws std::runtime_error.
unique_fd bind_to_name(const std::string& host, const std::string& service) {
    unique_fd bound;
    // BEGIN SOLUTION: ask getaddrinfo for stream addresses, print each, bind a socket to the first that allows it.
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    if (const int error = getaddrinfo(host.c_str(), service.c_str(), &hints, &list))
        throw std::runtime_error{"getaddrinfo: " + host + ": " + gai_strerror(error)};
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        endpoint address;
        address.size = entry->ai_addrlen;
        std::memcpy(&address.storage, entry->ai_addr, entry->ai_addrlen);
        std::cout << host << ' ' << service << " is " << to_string(address) << '\n';
        if (bound.get() != -1) continue;
        unique_fd candidate{socket(entry->ai_family, entry->ai_socktype, entry->ai_protocol)};
        if (candidate.get() == -1) continue;
        if (bind(candidate.get(), entry->ai_addr, entry->ai_addrlen) == 0) bound = std::move(candidate);
    }
    freeaddrinfo(list);
    // END SOLUTION
    return bound;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "[HOST [SERVICE]]", 0, 2};
    print_families();
    std::fflush(stdout);
    const std::string host = given.words.empty() ? "localhost" : given.words[0];
    const std::string service = given.words.size() < 2 ? "0" : given.words[1];
    const unique_fd bound = bind_to_name(host, service);
    if (bound.get() == -1)
        throw std::runtime_error{"bind: none of these addresses is this machine's and free"};
    endpoint here;
    check("getsockname", getsockname(bound.get(), here.get(), &here.size));
    std::cout << "bound to " << to_string(here) << '\n';
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
