// Which families and types of sockets the kernel gives, and three that carry the same greeting.
//
//   ./socket_families                   as yourself
//   sudo ./socket_families              as root
//
// Look at the errors: a family that the kernel does not have, a type that the family does not have, and a
// missing capability are three different errors. And look at the three greetings: only the address differs.
#include <err.h>
#include <linux/netlink.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <array>
#include <cstring>
#include <exception>
#include <iomanip>
#include <iostream>
#include <string>

#include "options.hpp"
#include "posix.hpp"

struct named {
    const char* name;
    int number;
};

constexpr std::array families{named{"AF_INET", AF_INET}, named{"AF_INET6", AF_INET6},
                              named{"AF_LOCAL", AF_LOCAL}, named{"AF_ROUTE", AF_ROUTE},
                              named{"AF_KEY", AF_KEY}};
constexpr std::array types{named{"SOCK_STREAM", SOCK_STREAM}, named{"SOCK_DGRAM", SOCK_DGRAM},
                           named{"SOCK_RAW", SOCK_RAW}};

void try_all() {
    for (const named& family : families) {
        for (const named& type : types) {
            // A raw socket is for one protocol; ICMP is 1. The other types choose theirs themselves.
            const bool internet = family.number == AF_INET || family.number == AF_INET6;
            const int protocol = internet && type.number == SOCK_RAW ? 1
                                 : family.number == AF_KEY           ? 2  // PF_KEY_V2, its only one
                                                                     : 0;
            const unique_fd sock{socket(family.number, type.number, protocol)};
            std::cout << std::left << std::setw(10) << family.name << std::setw(13) << type.name
                      << (sock.get() != -1 ? "yes" : std::strerror(errno)) << '\n';
        }
    }
}

/// Returns the address of a Unix domain socket: a name that is in no directory, chosen by the kernel;
/// unix(7).
endpoint local_address() {
    endpoint address;
    address.storage.ss_family = AF_LOCAL;
    address.size = sizeof(sa_family_t);
    return address;
}

/// Carries a greeting from a client to a server, which listens at `here`; both are this process.
void greet(const std::string& family, endpoint here) {
    const unique_fd listener{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    check("bind", bind(listener.get(), here.get(), here.size));
    check("listen", listen(listener.get(), 1));
    here.size = sizeof here.storage;
    check("getsockname", getsockname(listener.get(), here.get(), &here.size));

    const unique_fd client{check("socket", socket(here.storage.ss_family, SOCK_STREAM, 0))};
    check("connect",
          connect(client.get(), here.get(), here.size));  // complete before anybody accepts: see backlog
    const unique_fd connection{check("accept", accept(listener.get(), nullptr, nullptr))};
    const std::string greeting = "hello over " + family;
    check("send", send(client.get(), greeting.data(), greeting.size(), MSG_NOSIGNAL));
    check("shutdown", shutdown(client.get(), SHUT_WR));
    std::array<char, 100> buffer;
    for (ssize_t n; (n = check("recv", recv(connection.get(), buffer.data(), buffer.size(), 0))) > 0;)
        std::cout.write(buffer.data(), n);
    std::cout << '\n';
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    try_all();
    std::cout << '\n';
    const std::array<std::pair<std::string, endpoint>, 3> places{
        std::pair{"IPv4", resolve("127.0.0.1", 0).front()}, std::pair{"IPv6", resolve("::1", 0).front()},
        std::pair{"a local socket", local_address()}};
    for (const auto& [name, place] : places) {
        try {
            greet(name, place);
        } catch (const std::exception& error) {  // a machine without IPv6, say
            std::cout << "nothing over " << name << ": " << error.what() << '\n';
        }
    }
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
