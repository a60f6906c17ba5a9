// An echo of the network itself: ICMP, below UDP and TCP, without ports. Three requests, and their round
// trips.
//
//   sudo ./raw_ping localhost           by SOCK_RAW, which needs the right CAP_NET_RAW
//   ./raw_ping localhost                by SOCK_DGRAM, for the groups that net.ipv4.ping_group_range allows
//
// Look at what the two get to see. A raw socket gets a copy of every ICMP packet, with its IP header: on
// loopback our own request comes by before the reply to it. The other gets the replies to its own requests,
// and no more.
#include <errno.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
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

/// Returns the range of groups that may open an ICMP socket by SOCK_DGRAM: "1 0", an empty one, for nobody.
std::string ping_groups() {
    std::ifstream file{"/proc/sys/net/ipv4/ping_group_range"};
    std::string first;
    std::string last;
    file >> first >> last;
    return first + ' ' + last;
}

/// Returns a socket for ICMP: raw, or else for one's own echoes alone. Throws std::runtime_error that names
/// the right that is missing.
unique_fd open_icmp(bool& raw) {
    int icmp = socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
    raw = icmp != -1;
    if (!raw && errno == EPERM) icmp = socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP);
    if (icmp == -1 && (errno == EACCES || errno == EPERM))
        throw std::runtime_error{
            "socket: SOCK_RAW needs the right CAP_NET_RAW, as root has it; SOCK_DGRAM needs a group from "
            "net.ipv4.ping_group_range, which is " +
            ping_groups()};
    return unique_fd{check("socket", icmp)};
}

/// Returns the ICMP header of a packet; if the packet has none, of a type that is never used.
icmphdr header_of(std::span<const char> packet, bool raw) {
    icmphdr header{};
    header.type = 255;
    if (raw &&
        !packet.empty()) {  // the first four bits are IP's version, the next its header's length in words
        const auto ip_header = 4 * static_cast<std::size_t>(packet[0] & 0x0f);
        packet = packet.subspan(std::min(ip_header, packet.size()));
    }
    if (packet.size() >= sizeof header) std::memcpy(&header, packet.data(), sizeof header);
    return header;
}

/// Sends echo request number `sequence` and prints what comes by, up to the reply to it.
void ping(const unique_fd& icmp, bool raw, std::uint16_t sequence) {
    icmphdr request{};
    request.type = ICMP_ECHO;
    request.un.echo.id = htons(static_cast<std::uint16_t>(getpid()));  // not for SOCK_DGRAM: there the kernel
    request.un.echo.sequence = htons(sequence);                        // sets the id, and the checksum
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
        if (raw && seen.un.echo.id != request.un.echo.id) continue;  // another program's
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
    std::cout << (raw ? "SOCK_RAW: every ICMP packet from there, with its IP header\n"
                      : "SOCK_DGRAM: the replies to our own requests, without IP header\n");
    check("connect", connect(icmp.get(), there.get(), there.size));
    for (std::uint16_t sequence = 1; sequence <= 3; ++sequence) ping(icmp, raw, sequence);
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
