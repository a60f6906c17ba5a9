#include "../workload.hpp"

#include <gtest/gtest.h>

namespace {

TEST(Workload, StarsAreAskedForByALine) {
    workload work;
    work.size = 12;
    work.line = "12\n";
    EXPECT_EQ(work.request(0), "12\n");
    EXPECT_EQ(work.request(2), "\n");
    EXPECT_EQ(work.reply(0), "************");
    EXPECT_EQ(work.reply(10), "**");
}

TEST(Workload, LettersComeBackInUpperCase) {
    workload work;
    work.upper = true;
    work.size = 28;
    EXPECT_EQ(work.request(0), "abcdefghijklmnopqrstuvwxyzab");
    EXPECT_EQ(work.reply(24), "YZAB");
}

TEST(Workload, ALongReplyIsGivenPieceByPiece) {
    workload work;
    work.upper = true;
    work.size = 1'000'000;
    std::size_t offset = 0;
    while (offset < work.size) {
        const auto piece = work.reply(offset);
        ASSERT_FALSE(piece.empty());
        ASSERT_EQ(piece.front(), static_cast<char>('A' + offset % 26));
        offset += piece.size();
    }
    EXPECT_EQ(offset, work.size);
}

}  // namespace
