// The library behind callback_server: is each handler called when, and only when, it should be?
#include "../dispatcher.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

namespace {

/// Both ends of a connection; the library's end is non-blocking.
std::pair<unique_fd, unique_fd> connected() {
    std::array<int, 2> ends{};
    check("socketpair", socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends.data()));
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

/// Notes what it has got and that it was closed; answers `!` a chunk.
struct recorder : buffered_connection {
    recorder(unique_fd connection, std::string& notes)
        : buffered_connection{std::move(connection)}, notes_{notes} {}
    void handle_read() override {
        const std::string chunk = receive();
        if (chunk == "throw") throw std::runtime_error{"one client's error"};
        notes_ += chunk;
        if (!chunk.empty()) send("!");
    }
    void handle_close() override { notes_ += "[closed]"; }

    std::string& notes_;
};

std::string received(const unique_fd& socket) {
    std::array<char, 100> buffer;
    const auto size = recv(socket.get(), buffer.data(), buffer.size(), MSG_DONTWAIT);
    return {buffer.data(), static_cast<std::size_t>(std::max<ssize_t>(size, 0))};
}

TEST(EventLoop, CallsNobodyWhoIsNotReady) {
    auto [ours, theirs] = connected();
    std::string notes;
    event_loop loop;
    loop.add(std::make_unique<recorder>(std::move(ours), notes));
    EXPECT_EQ(loop.turn(0), 0);
    EXPECT_EQ(notes, "");
}

TEST(EventLoop, CallsHandleReadAndThenHandleWrite) {
    auto [ours, theirs] = connected();
    std::string notes;
    event_loop loop;
    loop.add(std::make_unique<recorder>(std::move(ours), notes));
    check("send", send(theirs.get(), "hello", 5, MSG_NOSIGNAL));
    EXPECT_EQ(loop.turn(0), 1);
    EXPECT_EQ(notes, "hello");
    loop.turn(0);
    EXPECT_EQ(received(theirs), "!");
}

TEST(EventLoop, ClosesAfterTheLastReply) {
    auto [ours, theirs] = connected();
    std::string notes;
    event_loop loop;
    loop.add(std::make_unique<recorder>(std::move(ours), notes));
    check("send", send(theirs.get(), "bye", 3, MSG_NOSIGNAL));
    check("shutdown", shutdown(theirs.get(), SHUT_WR));
    for (int turns = 0; turns < 4; ++turns) loop.turn(0);
    EXPECT_EQ(received(theirs), "!");
    EXPECT_EQ(notes, "bye[closed]");
    EXPECT_EQ(loop.size(), 0U);
}

TEST(EventLoop, OneErrorClosesOneConnection) {
    auto [ours, theirs] = connected();
    auto [others, far] = connected();
    std::string notes;
    std::string other_notes;
    event_loop loop;
    loop.add(std::make_unique<recorder>(std::move(ours), notes));
    loop.add(std::make_unique<recorder>(std::move(others), other_notes));
    check("send", send(theirs.get(), "throw", 5, MSG_NOSIGNAL));
    check("send", send(far.get(), "fine", 4, MSG_NOSIGNAL));
    loop.turn(0);
    EXPECT_EQ(notes, "[closed]");
    EXPECT_EQ(other_notes, "fine");
    EXPECT_EQ(loop.size(), 1U);
}

TEST(BufferedConnection, IsNotReadWhileTooMuchOutputWaits) {
    auto [ours, theirs] = connected();
    buffered_connection one{std::move(ours)};
    EXPECT_TRUE(one.readable());
    EXPECT_FALSE(one.writable());
    one.send(std::string(buffered_connection::max_output, 'x'));
    EXPECT_FALSE(one.readable());
    EXPECT_TRUE(one.writable());
}

}  // namespace
