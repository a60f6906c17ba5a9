#include "../numbered.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>
#include <vector>

TEST(Numbered, PutsTheNumberBeforeTheText) {
    EXPECT_EQ(numbered(17, "some text"), "17 some text");
    EXPECT_EQ(numbered(1, ""), "1 ");
}

TEST(ReplyTo, IsTheTextOfTheReplyWithThisNumber) {
    EXPECT_EQ(reply_to(17, "17 SOME TEXT"), "SOME TEXT");
    EXPECT_EQ(reply_to(17, "17 17 18"), "17 18");
    EXPECT_EQ(reply_to(17, "17 "), "");
}

TEST(ReplyTo, IsNothingForTheReplyToAnother) {
    EXPECT_EQ(reply_to(17, "16 SOME TEXT"), std::nullopt);
    EXPECT_EQ(reply_to(1, "17 SOME TEXT"), std::nullopt);
    EXPECT_EQ(reply_to(17, "1 7 SOME TEXT"), std::nullopt);
    EXPECT_EQ(reply_to(17, "117 SOME TEXT"), std::nullopt);
}

TEST(ReplyTo, IsNothingForGarbage) {
    for (const char* garbage : {"", " ", "17", "SOME TEXT", "-17 X", "+17 X", " 17 X", "017 X"})
        EXPECT_EQ(reply_to(17, garbage), std::nullopt) << '\'' << garbage << '\'';
}

TEST(WaitAfter, GrowsFromTenMillisecondsToTwoHundred) {
    std::vector<long> waits;
    for (int tried = 1; tried <= 8; ++tried) waits.push_back(static_cast<long>(wait_after(tried).count()));
    EXPECT_EQ(waits, (std::vector<long>{10, 20, 40, 80, 160, 200, 200, 200}));
    EXPECT_EQ(wait_after(1000).count(), 200);
}
