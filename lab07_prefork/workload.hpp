// What every client of a load asks for, and the connections on which it does.
#pragma once

#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "posix.hpp"
#include "send_all.hpp"

/// `size` stars by a line with their number, or `size` letters back in upper case.
struct workload {
    endpoint server;
    bool upper = false;
    // The first letter of the request. With 'A', a server that echoes gives the same reply.
    char first = 'a';
    // One connection for all requests of a client; only for a service that does not close it.
    bool keep = false;
    std::size_t size = 0;
    // The request for stars.
    std::string line{};

    /// Returns the bytes of the request, or reply, from `offset` on: at least one, not always all.
    std::string_view request(std::size_t offset) const {
        return upper ? letters(first, offset) : std::string_view{line}.substr(offset);
    }
    std::string_view reply(std::size_t offset) const { return letters(upper ? 'A' : '*', offset); }
    std::size_t request_size() const { return upper ? size : line.size(); }

 private:
    std::string_view letters(char from, std::size_t offset) const {
        // Whole alphabets.
        static constexpr std::size_t block = std::size_t{26} * 2600;
        static const auto repeated = [](char letter) {
            std::string text(block, letter);
            if (letter != '*')
                for (std::size_t i = 0; i < block; ++i) text[i] = static_cast<char>(letter + i % 26);
            return text;
        };
        static const std::string lower = repeated('a');
        static const std::string capital = repeated('A');
        static const std::string stars = repeated('*');
        const std::string& text = from == 'a' ? lower : from == 'A' ? capital : stars;
        return std::string_view{text}.substr(offset % block, size - offset);
    }
};

/// Returns the first address of `host` that answers, or else the last, which is not tried: a trial would be
/// one more client for the server.
inline endpoint find_server(const std::string& host, int port) {
    const std::vector<endpoint> all = resolve(host, port);
    // localhost, for example, is [::1] and 127.0.0.1, and the server listens at one of them.
    for (const endpoint& there : std::span{all}.first(all.size() - 1)) {
        const unique_fd trial{socket(there.storage.ss_family, SOCK_STREAM, 0)};
        if (trial.get() == -1) continue;
        if (connect(trial.get(), there.get(), there.size) == 0) return there;
    }
    return all.back();
}

/// Opens `count` connections, a wave at a time: more would overflow the listener's queue. An upper server has
/// accepted each when this returns, because each has had one letter back.
inline std::vector<unique_fd> connect_all(std::size_t count, const workload& work, int patience) {
    constexpr std::size_t wave = 256;
    const timeval limit{.tv_sec = patience, .tv_usec = 0};
    std::vector<unique_fd> all;
    while (all.size() < count) {
        const std::size_t before = all.size();
        while (all.size() < std::min(before + wave, count)) {
            unique_fd& one =
                all.emplace_back(check("socket", socket(work.server.storage.ss_family, SOCK_STREAM, 0)));
            check("setsockopt", setsockopt(one.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
            check("connect", connect(one.get(), work.server.get(), work.server.size));
            if (work.upper) send_all(one, std::string_view{"a"});
        }
        char letter = 0;
        for (const unique_fd& one : std::span{all}.subspan(before))
            if (work.upper && check("recv", recv(one.get(), &letter, 1, 0)) != 1)
                throw std::runtime_error{"the server has closed a connection"};
    }
    return all;
}
