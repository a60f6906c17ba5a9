// The line buffer, fed with any cutting of a stream.
#include "../line_buffer.hpp"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {
/// Returns the lines of the stream, received in the given pieces (the last size again and again); after them
/// "Line too long" if that was thrown.
std::vector<std::string> lines_of(std::string_view stream, const std::vector<std::size_t>& sizes) {
    std::vector<std::string> found;
    line_buffer lines;
    try {
        for (std::size_t piece = 0; !stream.empty(); ++piece) {
            const std::string_view chunk = stream.substr(0, sizes[std::min(piece, sizes.size() - 1)]);
            stream.remove_prefix(chunk.size());
            lines.append(chunk);
            while (const auto line = lines.next()) {
                found.push_back(*line);
                if (found.size() > 100000) return found;  // it gives lines for ever
            }
        }
    } catch (const line_too_long& error) {
        found.emplace_back(error.what());
    }
    return found;
}

using lines = std::vector<std::string>;
}  // namespace

TEST(line_buffer, gives_nothing_before_the_newline) {
    line_buffer buffer;
    buffer.append("half a li");
    EXPECT_EQ(buffer.next(), std::nullopt);
    buffer.append("ne\nand");
    EXPECT_EQ(buffer.next(), "half a line");
    EXPECT_EQ(buffer.next(), std::nullopt);
}

TEST(line_buffer, gives_several_lines_of_one_chunk_in_order) {
    EXPECT_EQ(lines_of("one\n\ntwo\nthree", {100}), (lines{"one", "", "two"}));
}

TEST(line_buffer, keeps_every_byte_but_the_newline) {
    const std::string stream{"\0\r\n\xff\t\n", 6};
    EXPECT_EQ(lines_of(stream, {1}), (lines{std::string{"\0\r", 2}, "\xff\t"}));
}

TEST(line_buffer, takes_the_longest_line_and_not_one_byte_more) {
    const std::string longest(line_buffer::max_line, 'x');
    EXPECT_EQ(lines_of("a\n" + longest + "\nb\n", {1000}), (lines{"a", longest, "b"}));
    EXPECT_EQ(lines_of("a\n" + longest + "x\nb\n", {1000}), (lines{"a", "Line too long"}));
    EXPECT_EQ(lines_of("a\n" + longest, {1000}), (lines{"a"}));
    EXPECT_EQ(lines_of("a\n" + longest + "x", {1000}),
              (lines{"a", "Line too long"}));  // whatever may come yet
    EXPECT_EQ(lines_of("a\n" + longest + "x\n", {200000}), (lines{"a", "Line too long"}));
    // It is a limit for each line, and not for what comes in one piece.
    EXPECT_EQ(lines_of(longest + '\n' + longest + '\n', {200000}), (lines{longest, longest}));
}

TEST(line_buffer, does_not_depend_on_how_the_stream_is_cut) {
    std::minstd_rand random{1};
    for (int round = 0; round < 500; ++round) {
        std::string stream(random() % 200, ' ');
        for (char& c : stream) c = "ab\n"[random() % 3];
        std::vector<std::size_t> sizes(20);
        for (std::size_t& size : sizes) size = 1 + random() % 30;
        EXPECT_EQ(lines_of(stream, sizes), lines_of(stream, {1000})) << "stream: " << stream;
    }
}
