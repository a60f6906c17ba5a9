// The quick check of socket_stream.hpp, over a pair of connected sockets: `make unit`.
#include "../socket_stream.hpp"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <string>
#include <thread>

namespace {

/// Two connected sockets; one behind a stream, the other plain. A read that would wait for ever fails after
/// five seconds.
struct SocketStream : testing::Test {
    unique_fd plain;
    unique_fd other;

    SocketStream() {
        int ends[2];
        check("socketpair", socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        plain = unique_fd{ends[0]};
        other = unique_fd{ends[1]};
        const timeval patience{.tv_sec = 5, .tv_usec = 0};
        for (const int end : ends)
            check("setsockopt", setsockopt(end, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
    }

    /// Returns what has arrived at the plain end, without waiting for more.
    std::string arrived() const {
        std::string bytes(100'000, '\0');
        const auto count = recv(plain.get(), bytes.data(), bytes.size(), MSG_DONTWAIT);
        bytes.resize(count < 0 ? 0 : static_cast<std::size_t>(count));
        return bytes;
    }
};

TEST_F(SocketStream, ReadsWordsNumbersAndLines) {
    socket_stream stream{std::move(other)};
    send_all(plain, std::string{"answer 42\nand a line\n"});
    std::string word, rest, line;
    int number = 0;
    stream >> word >> number;
    EXPECT_EQ(word, "answer");
    EXPECT_EQ(number, 42);
    std::getline(stream, rest);
    std::getline(stream, line);
    EXPECT_EQ(line, "and a line");
}

TEST_F(SocketStream, PutsTogetherALineThatArrivesInPieces) {
    socket_stream stream{std::move(other)};
    const std::jthread sender{[this] {
        for (const char c : std::string{"cut anywhere\n"}) send_all(plain, std::string{c});
    }};
    std::string line;
    EXPECT_TRUE(std::getline(stream, line));
    EXPECT_EQ(line, "cut anywhere");
}

TEST_F(SocketStream, ReadsEveryByteValue) {
    std::string every;
    for (int c = 0; c < 256; ++c) every += static_cast<char>(c);
    socket_stream stream{std::move(other)};
    send_all(plain, every + every);
    std::string got(512, '?');
    stream.read(got.data(), 512);
    EXPECT_EQ(stream.gcount(), 512);
    EXPECT_EQ(got, every + every);
}

TEST_F(SocketStream, SendsAtAFlushAndNotBefore) {
    socket_stream stream{std::move(other)};
    stream << "hello " << 7;
    EXPECT_EQ(arrived(), "");
    stream << std::flush;
    EXPECT_EQ(arrived(), "hello 7");
    stream << std::flush;
    EXPECT_EQ(arrived(), "") << "a second flush has nothing to send";
}

TEST_F(SocketStream, SendsWhatIsLeftAtItsEnd) {
    {
        socket_stream stream{std::move(other)};
        stream << "goodbye";
    }
    EXPECT_EQ(arrived(), "goodbye");
}

TEST_F(SocketStream, SendsMoreThanItsBufferHolds) {
    std::string numbers;
    for (int i = 0; numbers.size() < 50'000; ++i) numbers += std::to_string(i) + " ";
    socket_stream stream{std::move(other)};
    for (const char c : numbers) stream.put(c);
    stream << std::flush;
    EXPECT_TRUE(stream.good());
    EXPECT_TRUE(arrived() == numbers) << "not the bytes that were written";
}

TEST_F(SocketStream, EndOfFileIsEofAndNoError) {
    socket_stream stream{std::move(other)};
    plain.reset();
    std::string line;
    EXPECT_FALSE(std::getline(stream, line));
    EXPECT_TRUE(stream.eof());
    EXPECT_FALSE(stream.bad());
}

TEST_F(SocketStream, AResetIsBadAndNoEof) {
    socket_stream stream{std::move(other)};
    stream << "never read" << std::endl;
    // A close with unread bytes resets the connection.
    plain.reset();
    std::string line;
    EXPECT_FALSE(std::getline(stream, line));
    EXPECT_TRUE(stream.bad());
}

TEST_F(SocketStream, WritingToOneWhoHasGoneIsBadAndDoesNotKill) {
    socket_stream stream{std::move(other)};
    plain.reset();
    stream << "for nobody" << std::endl;
    EXPECT_TRUE(stream.bad());
}

}  // namespace
