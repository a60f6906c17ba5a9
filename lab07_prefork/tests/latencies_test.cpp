#include "../latencies.hpp"

#include <gtest/gtest.h>

namespace {

using namespace std::chrono_literals;

TEST(Latencies, NoneIsZero) {
    EXPECT_EQ(latencies{}.percentile(50), 0ns);
}

TEST(Latencies, OneIsEveryPercentile) {
    latencies one;
    one.add(7ms);
    for (const double percent : {0.0, 1.0, 50.0, 99.0, 100.0}) EXPECT_EQ(one.percentile(percent), 7ms);
}

TEST(Latencies, NearestRankOfAHundred) {
    latencies all;
    for (int i = 100; i >= 1; --i) all.add(std::chrono::milliseconds{i});
    EXPECT_EQ(all.percentile(50), 50ms);
    EXPECT_EQ(all.percentile(90), 90ms);
    EXPECT_EQ(all.percentile(99), 99ms);
    EXPECT_EQ(all.percentile(100), 100ms);
    EXPECT_EQ(all.percentile(99.5), 100ms);
}

TEST(Latencies, AnOddNumberHasItsMiddle) {
    latencies all;
    for (const auto one : {5ms, 1ms, 9ms}) all.add(one);
    EXPECT_EQ(all.percentile(50), 5ms);
    EXPECT_EQ(all.percentile(100), 9ms);
    EXPECT_EQ(all.percentile(1), 1ms);
}

}  // namespace
