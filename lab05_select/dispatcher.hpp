// An event loop as a library: it waits, and calls back. A program adds what it does in its callbacks.
#pragma once

#include <err.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "accept_pause.hpp"
#include "posix.hpp"

/// A descriptor, and what to do when it is ready. Derive from it, and override what you need.
class dispatcher {
 public:
    explicit dispatcher(unique_fd descriptor) : descriptor_{std::move(descriptor)} {}
    dispatcher(const dispatcher&) = delete;
    dispatcher& operator=(const dispatcher&) = delete;
    dispatcher(dispatcher&&) = delete;
    dispatcher& operator=(dispatcher&&) = delete;
    virtual ~dispatcher() = default;

    const unique_fd& descriptor() const { return descriptor_; }
    /// The loop destroys this object, and closes its descriptor, at the end of the turn.
    void close() { closing_ = true; }
    bool closing() const { return closing_; }

    // The loop asks before each wait whether to call handle_read when the descriptor is readable, and
    // handle_write when it is writable. It calls handle_close before it destroys the object.
    virtual bool readable() const { return true; }
    virtual bool writable() const { return false; }
    virtual void handle_read() {}
    virtual void handle_write() {}
    virtual void handle_close() {}

 private:
    unique_fd descriptor_;
    bool closing_ = false;
};

/// Calls the handlers of the dispatchers that are ready. An exception from a handler closes its dispatcher
/// alone.
class event_loop {
 public:
    void add(std::unique_ptr<dispatcher> one) { arrived_.push_back(std::move(one)); }
    std::size_t size() const { return all_.size() + arrived_.size(); }

    /// Waits once, at most so many milliseconds (-1: for ever), and calls the handlers of what is ready, each
    /// once. Returns how many dispatchers were ready. Throws std::system_error if poll fails.
    int turn(int milliseconds = -1) {
        for (auto& one : arrived_) all_.push_back(std::move(one));
        arrived_.clear();
        watched_.clear();
        for (const auto& one : all_) {
            const int events = (one->readable() ? POLLIN : 0) | (one->writable() ? POLLOUT : 0);
            // poll skips a negative descriptor. Otherwise it would report POLLHUP again and again.
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
        // After POLLERR or POLLHUP, the recv or send of the handler tells the error.
        try {
            if ((state.revents & ~POLLIN) != 0 && (state.events & POLLOUT) != 0) one.handle_write();
            if ((state.revents & ~POLLOUT) != 0 && (state.events & POLLIN) != 0 && !one.closing())
                one.handle_read();
        } catch (const std::exception& error) {
            // It closes this dispatcher, and no other.
            warnx("%s", error.what());
            one.close();
        }
    }

    std::vector<std::unique_ptr<dispatcher>> all_;
    // Those that were added since the last turn began.
    std::vector<std::unique_ptr<dispatcher>> arrived_;
    std::vector<pollfd> watched_;
};

/// A non-blocking listener: calls handle_accept for each client.
class acceptor : public dispatcher {
 public:
    using dispatcher::dispatcher;

    virtual void handle_accept(unique_fd connection, const endpoint& client) = 0;

    /// To be called when a connection has been closed: a pause ends.
    void descriptor_freed() { pause_.descriptor_freed(); }

    bool readable() const override { return !pause_.active(); }

    void handle_read() override {
        endpoint client;
        unique_fd connection{accept4(descriptor().get(), client.get(), &client.size, SOCK_NONBLOCK)};
        if (connection.get() == -1)
            pause_.accept_failed();
        else
            handle_accept(std::move(connection), client);
    }

 private:
    accept_pause pause_;
};

/// A non-blocking connection with its output. It is not read while max_output bytes or more are unsent, and
/// closed when the client has sent its end of file and everything is sent.
class buffered_connection : public dispatcher {
 public:
    static constexpr std::size_t max_output = 65536;

    using dispatcher::dispatcher;

    /// Returns what has arrived, at most 1024 bytes: none at the client's end of file. Throws
    /// std::system_error if the connection breaks.
    std::string receive() {
        std::array<char, 1024> buffer;
        const auto received = recv(descriptor().get(), buffer.data(), buffer.size(), 0);
        if (received == -1 && errno == EAGAIN) return {};
        if (check("recv", received) == 0) ended_ = true;
        if (ended_ && output_.empty()) close();
        return {buffer.data(), static_cast<std::size_t>(received)};
    }

    /// Appends the bytes to the output, which is sent as the kernel takes it.
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
