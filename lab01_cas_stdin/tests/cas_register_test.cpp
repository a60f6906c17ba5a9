// The register alone, without any input or output.
#include "../cas_register.hpp"

#include <gtest/gtest.h>

#include <limits>

TEST(cas_register, starts_at_zero) {
    CompareAndSwapRegister cas_register;
    EXPECT_EQ(cas_register.compare_and_swap(1, 2), 0U);
}

TEST(cas_register, changes_if_the_present_value_is_the_expected_one) {
    CompareAndSwapRegister cas_register;
    EXPECT_EQ(cas_register.compare_and_swap(0, 7), 0U);
    EXPECT_EQ(cas_register.compare_and_swap(7, 8), 7U);
    EXPECT_EQ(cas_register.compare_and_swap(8, 8), 8U);
}

TEST(cas_register, stays_if_it_is_another) {
    CompareAndSwapRegister cas_register;
    cas_register.compare_and_swap(0, 7);
    EXPECT_EQ(cas_register.compare_and_swap(0, 9), 7U);
    EXPECT_EQ(cas_register.compare_and_swap(0, 9), 7U);
}

TEST(cas_register, holds_any_64_bits) {
    constexpr auto largest = std::numeric_limits<std::uint64_t>::max();
    CompareAndSwapRegister cas_register;
    cas_register.compare_and_swap(0, largest);
    EXPECT_EQ(cas_register.compare_and_swap(largest, 0), largest);
}
