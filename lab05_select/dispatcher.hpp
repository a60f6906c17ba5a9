// An event loop as a library: it waits, and calls back. What a program adds is what it does in its callbacks.
#pragma once

#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <ctime>
#include <exception>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "posix.hpp"

/// A descriptor, and what is to be done when it is ready. Derive from it, and override what you need.
class dispatcher {
 public:
    explicit dispatcher(unique_fd descriptor) : descriptor_{std::move(descriptor)} {}
    dispatcher(const dispatcher&) = delete;
    dispatcher& operator=(const dispatcher&) = delete;
    dispatcher(dispatcher&&) = delete;
    dispatcher& operator=(dispatcher&&) = delete;
    virtual ~dispatcher() = default;

    const unique_fd& descriptor() const { return descriptor_; }
    void close() { closing_ = true; }  // the loop forgets it, after the present callback
    bool closing() const { return closing_; }

    // Asked before each wait: is handle_read due when it can be read, handle_write when it can be written?
    virtual bool readable() const { return true; }
    virtual bool writable() const { return false; }
    virtual void handle_read() {}
    virtual void handle_write() {}
    virtual void handle_close() {}

 private:
    unique_fd descriptor_;
    bool closing_ = false;
};

/// Calls the handlers of what is ready, for ever. An exception from a callback closes that dispatcher alone.
class event_loop {
 public:
    void add(std::unique_ptr<dispatcher> one) { arrived_.push_back(std::move(one)); }
    std::size_t size() const { return all_.size() + arrived_.size(); }

    /// Waits once, at most so many milliseconds (-1: for ever), and calls each handler that is due once.
    /// Returns how many dispatchers were ready.
    int turn(int milliseconds = -1) {
        for (auto& one : arrived_) all_.push_back(std::move(one));
        arrived_.clear();
        watched_.clear();
        for (const auto& one : all_) {
            const int events = (one->readable() ? POLLIN : 0) | (one->writable() ? POLLOUT : 0);
            // A negative descriptor is skipped: who wants nothing is not told of its end either.
            watched_.push_back({.fd = events == 0 ? -1 : one->descriptor().get(),
                                .events = static_cast<short>(events),
                                .revents = 0});
        }
        const int ready = check("poll", poll(watched_.data(), watched_.size(), milliseconds));
        for (std::size_t i = 0; i < watched_.size(); ++i) call(*all_[i], watched_[i]);
        for (const auto& one : all_)
            if (one->closing()) one->handle_close();
        std::erase_if(all_, [](const auto& one) { return one->closing(); });
        return ready;
    }

 private:
    static void call(dispatcher& one, const pollfd& state) {
        // An error (POLLERR, POLLHUP) is told by the recv or send that the handler does, whichever is due.
        try {
            if ((state.revents & ~POLLIN) != 0 && (state.events & POLLOUT) != 0) one.handle_write();
            if ((state.revents & ~POLLOUT) != 0 && (state.events & POLLIN) != 0 && !one.closing())
                one.handle_read();
        } catch (const std::exception& error) {
            std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
            one.close();
        }
    }

    std::vector<std::unique_ptr<dispatcher>> all_;
    std::vector<std::unique_ptr<dispatcher>> arrived_;  // in the callbacks of this turn
    std::vector<pollfd> watched_;
};

/// A non-blocking listener: calls handle_accept for each client.
class acceptor : public dispatcher {
 public:
    using dispatcher::dispatcher;

    virtual void handle_accept(unique_fd connection, const endpoint& client) = 0;

    /// Without a descriptor for the client that waits, the listener rests until handle_room, or until the
    /// next second: other processes have descriptors, too.
    bool readable() const override { return std::time(nullptr) != full_at_; }
    void handle_room() { full_at_ = 0; }

    void handle_read() override {
        endpoint client;
        unique_fd connection{accept4(descriptor().get(), client.get(), &client.size, SOCK_NONBLOCK)};
        if (connection.get() != -1) return handle_accept(std::move(connection), client);
        if (errno == EAGAIN || errno == ECONNABORTED) return;  // gone again: man 2 accept, "Error handling"
        warn("accept4");
        full_at_ = std::time(nullptr);
    }

 private:
    std::time_t full_at_ = 0;
};

/// A client whose output waits for it. It is not read while more than max_output bytes wait, and closed when
/// it has sent its last and has got everything.
class buffered_connection : public dispatcher {
 public:
    static constexpr std::size_t max_output = 65536;

    using dispatcher::dispatcher;

    /// Returns what has arrived, at most 1024 bytes; nothing if that was all that ever will.
    std::string receive() {
        std::array<char, 1024> buffer;
        const auto received = recv(descriptor().get(), buffer.data(), buffer.size(), 0);
        if (received == -1 && errno == EAGAIN) return {};
        if (check("recv", received) == 0) ended_ = true;
        if (ended_ && output_.empty()) close();
        return {buffer.data(), static_cast<std::size_t>(received)};
    }

    /// Sends the bytes as the connection takes them.
    void send(std::string_view bytes) { output_ += bytes; }

    bool readable() const override { return !ended_ && output_.size() < max_output; }
    bool writable() const override { return !output_.empty(); }

    void handle_write() override {
        const auto taken = ::send(descriptor().get(), output_.data(), output_.size(), MSG_NOSIGNAL);
        if (taken == -1 && errno == EAGAIN) return;
        output_.erase(0, static_cast<std::size_t>(check("send", taken)));
        if (ended_ && output_.empty()) close();
    }

 private:
    std::string output_;
    bool ended_ = false;
};
