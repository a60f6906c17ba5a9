// Three ICMP echo requests and their round trips. ICMP is a protocol beside UDP and TCP, and has no ports.
//
//   sudo ./raw_ping localhost           by SOCK_RAW, which needs the capability CAP_NET_RAW
//   ./raw_ping localhost                by SOCK_DGRAM, for the groups that net.ipv4.ping_group_range allows
//
// Look at what the two sockets receive. A raw socket gets a copy of every ICMP packet, with its IP header: on
// loopback also our own request, before the reply to it. The other gets the replies to its own requests, and
// nothing else.
#include <err.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <exception>
#include <fstream>
#include <iostream>
#include <span>
#include <stdexcept>
#include <string>

#include "choose_address.hpp"
#include "options.hpp"
#include "posix.hpp"

using std::chrono::steady_clock;

/// Returns the Internet checksum: the complement of the ones' complement sum of all 16-bit words; RFC 1071.
std::uint16_t checksum(const icmphdr& packet) {
    std::array<std::uint16_t, sizeof packet / 2> words;
    std::memcpy(words.data(), &packet, sizeof packet);
    std::uint32_t sum = 0;
    for (const std::uint16_t word : words) sum += word;
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
    return static_cast<std::uint16_t>(~sum);
}

/// Returns the range of groups that may open an ICMP socket by SOCK_DGRAM. "1 0" is an empty range; icmp(7).
std::string ping_groups() {
    std::ifstream file{"/proc/sys/net/ipv4/ping_group_range"};
    std::string first;
    std::string last;
    file >> first >> last;
    return first + ' ' + last;
}

/// Returns a socket for ICMP: SOCK_RAW if the kernel allows it, else SOCK_DGRAM; sets `raw` to which it is.
/// Throws std::runtime_error that names the missing capability.
unique_fd open_icmp(bool& raw) {
    int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    raw = icmp != -1;
    if (!raw && errno == EPERM) icmp = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    if (icmp == -1 && (errno == EACCES || errno == EPERM))
        throw std::runtime_error{
            "socket: SOCK_RAW needs the capability CAP_NET_RAW, as root has it; SOCK_DGRAM needs a group "
            "from "
            "net.ipv4.ping_group_range, which is " +
            ping_groups()};
    return unique_fd{check("socket", icmp)};
}

/// Returns the ICMP header of a packet. If the packet is too short for one, its type is 255, which is unused.
icmphdr header_of(std::span<const char> packet, bool raw) {
    icmphdr header{};
    header.type = 255;
    // An IP header comes first: four bits for its version, four for its length in 32-bit words.
    if (raw && !packet.empty()) {
        const auto ip_header = 4 * static_cast<std::size_t>(packet[0] & 0x0f);
        packet = packet.subspan(std::min(ip_header, packet.size()));
    }
    if (packet.size() >= sizeof header) std::memcpy(&header, packet.data(), sizeof header);
    return header;
}

/// Sends echo request number `sequence`, and prints what arrives, up to its reply. Throws std::system_error,
/// or std::runtime_error if no reply comes for two seconds.
void ping(const unique_fd& icmp, bool raw, std::uint16_t sequence) {
    icmphdr request{};
    request.type = ICMP_ECHO;
    // With SOCK_DGRAM the kernel sets the id and the checksum.
    request.un.echo.id = htons(static_cast<std::uint16_t>(getpid()));
    request.un.echo.sequence = htons(sequence);
    request.checksum = checksum(request);
    const auto start = steady_clock::now();
    check("send", send(icmp.get(), &request, sizeof request, 0));
    while (true) {
        std::array<char, 1500> buffer;
        pollfd arrival{icmp.get(), POLLIN, 0};
        if (check("poll", poll(&arrival, 1, 2000)) == 0) throw std::runtime_error{"no reply for two seconds"};
        const auto received = check("recv", recv(icmp.get(), buffer.data(), buffer.size(), 0));
        const std::chrono::duration<double, std::milli> after = steady_clock::now() - start;
        const icmphdr seen = header_of({buffer.data(), static_cast<std::size_t>(received)}, raw);
        if (seen.un.echo.sequence != request.un.echo.sequence) continue;
        // A raw socket also receives the replies to other programs.
        if (raw && seen.un.echo.id != request.un.echo.id) continue;
        if (seen.type == ICMP_ECHO)
            std::cout << "request " << sequence << " comes by after " << after.count() << " ms\n";
        if (seen.type != ICMP_ECHOREPLY) continue;
        std::cout << "reply " << sequence << " after " << after.count() << " ms\n";
        return;
    }
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", "HOST", 1, 1};
    const endpoint there = choose_address(given.words[0], 0);
    bool raw = false;
    const unique_fd icmp = open_icmp(raw);
    std::cout << (raw ? "SOCK_RAW: every ICMP packet from that host, with its IP header\n"
                      : "SOCK_DGRAM: the replies to our own requests, without IP header\n");
    check("connect", connect(icmp.get(), there.get(), there.size));
    for (std::uint16_t sequence = 1; sequence <= 3; ++sequence) ping(icmp, raw, sequence);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
