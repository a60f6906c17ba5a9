#include "../round_trips.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

using ms = round_trips::duration;

TEST(RoundTrips, BeginsWithTheFirstTimeout) {
    EXPECT_EQ(round_trips{}.timeout(), round_trips::first);
}

TEST(RoundTrips, TakesTheFirstTripAndTwiceItself) {
    round_trips trips;
    trips.measured(ms{20});
    // smoothed 20, variation 10
    EXPECT_NEAR(trips.timeout().count(), 60, 0.001);
}

TEST(RoundTrips, SmoothsTheTripsAndTheirVariation) {
    round_trips trips;
    trips.measured(ms{20});
    trips.measured(ms{40});
    // variation 3/4 * 10 + 1/4 * 20 = 12.5, smoothed 7/8 * 20 + 1/8 * 40 = 22.5
    EXPECT_NEAR(trips.timeout().count(), 72.5, 0.001);
    for (int i = 0; i < 200; ++i) trips.measured(ms{30});
    EXPECT_NEAR(trips.timeout().count(), 31, 0.1) << "trips of 30 ms, and 1 ms of granularity";
}

TEST(RoundTrips, KeepsToItsBounds) {
    round_trips fast;
    fast.measured(ms{0.05});
    EXPECT_EQ(fast.timeout(), round_trips::least);
    round_trips slow;
    slow.measured(ms{5000});
    EXPECT_EQ(slow.timeout(), round_trips::most);
}

TEST(RoundTrips, DoublesTheTimeoutUntilATripIsMeasured) {
    round_trips trips;
    trips.measured(ms{20});
    trips.timed_out();
    EXPECT_NEAR(trips.timeout().count(), 120, 0.001);
    trips.timed_out();
    EXPECT_EQ(trips.timeout(), round_trips::most);
    for (int i = 0; i < 100; ++i) trips.timed_out();
    EXPECT_EQ(trips.timeout(), round_trips::most);
    trips.measured(ms{20});
    EXPECT_NEAR(trips.timeout().count(), 50, 0.001);
}

TEST(Jitter, AddsUpToHalfOfTheTimeout) {
    std::mt19937 random{1};
    std::set<double> waits;
    for (int i = 0; i < 100; ++i) {
        const double wait = with_jitter(ms{100}, random).count();
        EXPECT_GE(wait, 100);
        EXPECT_LE(wait, 150);
        waits.insert(wait);
    }
    EXPECT_GT(waits.size(), 50U) << "the same wait again and again is no jitter";
}
