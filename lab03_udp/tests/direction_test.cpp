#include "../direction.hpp"

#include <gtest/gtest.h>

#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

/// Returns what comes out, in this order, when `sent` goes in letter by letter.
std::string after(direction way, const std::string& sent) {
    std::string received;
    std::ostringstream log;
    for (const char letter : sent)
        for (const std::string& datagram : way.pass({letter}, log)) received += datagram;
    return received;
}

std::string by_script(const std::string& script, const std::string& sent) {
    return after(direction{"request", script, {}, 1}, sent);
}

std::string by_chance(percentages chances, unsigned seed, const std::string& sent) {
    return after(direction{"request", "", chances, seed}, sent);
}

}  // namespace

TEST(Direction, PassesEverythingOnWithoutAPlan) {
    EXPECT_EQ(by_script("", "abc"), "abc");
}

TEST(Direction, DoesWhatTheScriptSays) {
    EXPECT_EQ(by_script(".x=", "abcd"), "accd");
    EXPECT_EQ(by_script("xxxxxxxxxx", "abcdefghijk"), "k");
}

TEST(Direction, SendsALateDatagramAfterThoseItWaitsFor) {
    EXPECT_EQ(by_script("1", "abc"), "bac");
    EXPECT_EQ(by_script("2", "abcd"), "bcad");
    EXPECT_EQ(by_script("21", "abcd"), "cabd");
    EXPECT_EQ(by_script("1x", "abc"), "ac");  // the lost one counts, too
    EXPECT_EQ(by_script("3", "abc"), "bc");   // what it waits for has not come yet
}

TEST(Direction, RefusesAnUnknownSign) {
    EXPECT_THROW(by_script("..?", ""), std::invalid_argument);
}

TEST(Direction, DoesByChanceTheSameForTheSameSeed) {
    const std::string sent(1000, 's');
    const percentages chances{.drop = 30, .repeat = 10, .reorder = 10};
    EXPECT_EQ(by_chance(chances, 1, sent), by_chance(chances, 1, sent));
    EXPECT_EQ(by_chance({.drop = 100, .repeat = 0, .reorder = 0}, 1, sent), "");
    EXPECT_EQ(by_chance({.drop = 0, .repeat = 100, .reorder = 0}, 1, "ab"), "aabb");
    const auto lost = sent.size() - by_chance({.drop = 30, .repeat = 0, .reorder = 0}, 7, sent).size();
    EXPECT_GT(lost, 200U);
    EXPECT_LT(lost, 400U);
}
