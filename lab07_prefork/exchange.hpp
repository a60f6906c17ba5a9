// One request and its reply, driven by events, so that one process can be thousands of clients.
#pragma once

#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "posix.hpp"
#include "workload.hpp"

class exchange {
 public:
    using clock = std::chrono::steady_clock;

    /// A client without a connection, or with one that is to be kept.
    explicit exchange(const workload& work, unique_fd connection = {})
        : work_{&work}, connection_{std::move(connection)} {}

    /// Starts the next request, on a new connection if there is none. `tag` comes back in epoll's events.
    /// Throws std::system_error.
    void begin(const unique_fd& epoll, std::size_t tag) {
        begun_ = clock::now();
        sent_ = received_ = 0;
        const bool fresh = connection_.get() == -1;
        connected_ = !fresh;
        if (fresh) {
            const int family = work_->server.storage.ss_family;
            connection_ = unique_fd{check("socket", socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0))};
            if (connect(connection_.get(), work_->server.get(), work_->server.size) == -1 &&
                errno != EINPROGRESS)
                check("connect", -1);
        }
        // On loopback the connection is there already.
        send_more();
        if (fresh) watch(epoll, tag);
    }

    /// Tells epoll about the connection: edge-triggered, once.
    void watch(const unique_fd& epoll, std::size_t tag) const {
        epoll_event event{.events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data{.u64 = tag}};
        if (work_->keep || sent_ < work_->request_size()) event.events |= EPOLLOUT;
        check("epoll_ctl", epoll_ctl(epoll.get(), EPOLL_CTL_ADD, connection_.get(), &event));
    }

    /// Goes on after `events`; returns whether the whole reply is there. Throws std::system_error, and
    /// std::runtime_error if the reply is not what was asked for.
    bool advance(std::uint32_t events) {
        // All clients share it: what arrives is compared at once, and not kept.
        static std::array<char, 262144> buffer;
        if (sent_ < work_->request_size()) send_more();
        if ((events & ~EPOLLOUT) == 0) return false;
        while (true) {
            const auto result = recv(connection_.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
            if (result == -1 && errno == EAGAIN) return false;
            if (result == -1) fail("recv");
            const auto count = static_cast<std::size_t>(result);
            if (count == 0) {
                if (received_ < work_->size) throw std::runtime_error{"short reply"};
                return true;
            }
            compare({buffer.data(), count});
            if (work_->keep && received_ == work_->size) return true;
            if (count < buffer.size() && (events & ~(EPOLLIN | EPOLLOUT)) == 0) return false;
        }
    }

    void disconnect() { connection_.reset(); }
    bool kept() const { return work_->keep; }
    clock::time_point begun() const { return begun_; }

    // How many more requests this client will make.
    std::size_t left = 0;

 private:
    void send_more() {
        while (sent_ < work_->request_size()) {
            const std::string_view piece = work_->request(sent_);
            const auto sent =
                send(connection_.get(), piece.data(), piece.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            // EAGAIN: not connected yet, or no room.
            if (sent == -1 && errno == EAGAIN) return;
            if (sent == -1) fail("send");
            connected_ = true;
            sent_ += static_cast<std::size_t>(sent);
        }
        // The server sees the end of the request, and closes after its reply.
        if (work_->upper && !work_->keep) check("shutdown", shutdown(connection_.get(), SHUT_WR));
    }

    [[noreturn]] void fail(const char* call) const {
        throw std::system_error{errno, std::generic_category(), connected_ ? call : "connect"};
    }

    void compare(std::string_view chunk) {
        if (chunk.size() > work_->size - received_) throw std::runtime_error{"more than was asked for"};
        while (!chunk.empty()) {
            const std::string_view expected = work_->reply(received_).substr(0, chunk.size());
            if (chunk.substr(0, expected.size()) != expected) throw std::runtime_error{"wrong bytes"};
            received_ += expected.size();
            chunk.remove_prefix(expected.size());
        }
    }

    const workload* work_;
    unique_fd connection_;
    // Until then, an error is connect's.
    bool connected_ = false;
    std::size_t sent_ = 0;
    std::size_t received_ = 0;
    clock::time_point begun_;
};
