// Each decoder, with a message that comes byte by byte, and with two that come at once.
#include "../framing.hpp"

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {
using decoder = std::function<std::optional<std::string>(std::string&)>;
using messages = std::vector<std::string>;

messages decode(const decoder& take, std::string_view bytes, std::size_t piece) {
    messages found;
    std::string stream;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        stream += bytes.substr(at, piece);
        while (const auto message = take(stream)) {
            found.push_back(*message);
            if (found.size() > 1000) return found;  // it gives messages for ever
        }
    }
    return found;
}

void expect_messages(const decoder& take, std::string_view bytes, const messages& expected) {
    for (std::size_t piece = 1; piece <= bytes.size(); ++piece)
        EXPECT_EQ(decode(take, bytes, piece), expected) << "in pieces of " << piece;
}
}  // namespace

TEST(framing, fixed_length) {
    expect_messages([](std::string& stream) { return take_fixed(stream, 8); }, "start   connect rest",
                    {"start   ", "connect "});
}

TEST(framing, separator) {
    expect_messages([](std::string& stream) { return take_separated(stream, '\n'); },
                    "start\n\nconnect\nrest", {"start", "", "connect"});
}

TEST(framing, length_prefix) {
    using namespace std::string_view_literals;
    expect_messages(take_prefixed, "\0\5start\0\0\0\7connect\1\0rest"sv, {"start", "", "connect"});
}

TEST(framing, length_prefix_above_127_and_255) {
    for (const std::size_t length : {127U, 128U, 255U, 256U, 65535U}) {
        const std::string message(length, '\n');
        std::string stream{static_cast<char>(length / 256), static_cast<char>(length % 256)};
        stream += message + "x";
        const std::optional<std::string> found = take_prefixed(stream);
        // Not EXPECT_EQ: it would print thousands of newlines.
        EXPECT_TRUE(found == message)
            << "length " << length << ": " << (found ? std::to_string(found->size()) + " bytes" : "nothing")
            << " came";
        EXPECT_TRUE(stream == "x") << "length " << length << ": " << stream.size()
                                   << " bytes are left, instead of the one behind the message";
    }
}

TEST(framing, until_close) {
    std::string stream = "start";
    EXPECT_EQ(take_until_close(stream, false), std::nullopt);
    stream += "connect";
    EXPECT_EQ(take_until_close(stream, true), "startconnect");
    EXPECT_EQ(take_until_close(stream, true), std::nullopt);
}
