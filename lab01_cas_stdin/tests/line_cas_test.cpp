// The protocol, line by line. A register of the test's own notes what it was asked.
#include "../line_cas.hpp"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

class noting_register {
 public:
    std::uint64_t compare_and_swap(std::uint64_t expected, std::uint64_t desired) {
        asked.emplace_back(expected, desired);
        return 42;
    }

    std::vector<std::pair<std::uint64_t, std::uint64_t>> asked;
};

using requests = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

TEST(line_cas, two_numbers_are_a_request) {
    noting_register noted;
    EXPECT_EQ(line_cas(noted, "0 7"), "42");
    EXPECT_EQ(line_cas(noted, "18446744073709551615 007"), "42");
    EXPECT_EQ(noted.asked, (requests{{0, 7}, {18446744073709551615U, 7}}));
}

TEST(line_cas, blanks_of_every_kind_may_stand_around_them) {
    noting_register noted;
    EXPECT_EQ(line_cas(noted, " \t\r\v\f1 \t\r\v\f2 \t\r\v\f"), "42");
    EXPECT_EQ(noted.asked, (requests{{1, 2}}));
}

TEST(line_cas, anything_else_is_bad_syntax_and_asks_nothing) {
    noting_register noted;
    for (const std::string_view line :
         {"", " ", "1", "1 ", "1 2 3", "1 2 x", "x 1 2", "1,2", "-1 2", "+1 2", "1 -2", "0x1 2", "1.0 2",
          "1_0 2", "1 2\n", "1\n2", "\302\2401 2", "1 \xb2"})
        EXPECT_EQ(line_cas(noted, line), "Bad Syntax") << '"' << line << '"';
    EXPECT_EQ(line_cas(noted, std::string_view{"1\0002", 3}), "Bad Syntax");
    EXPECT_EQ(line_cas(noted, std::string_view{"1 2\0", 4}), "Bad Syntax");
    EXPECT_TRUE(noted.asked.empty());
}

TEST(line_cas, a_number_of_more_than_64_bits_is_out_of_range_and_asks_nothing) {
    noting_register noted;
    EXPECT_EQ(line_cas(noted, "18446744073709551616 0"), "Out of Range");
    EXPECT_EQ(line_cas(noted, "0 18446744073709551616"), "Out of Range");
    EXPECT_EQ(line_cas(noted, std::string(100000, '9') + " 1"), "Out of Range");
    EXPECT_TRUE(noted.asked.empty());
}

TEST(line_cas, a_line_that_is_both_wrong_and_too_large_is_bad_syntax) {
    noting_register noted;
    EXPECT_EQ(line_cas(noted, "18446744073709551616"), "Bad Syntax");
    EXPECT_EQ(line_cas(noted, "1 18446744073709551616 x"), "Bad Syntax");
}

TEST(line_cas, leading_zeros_make_a_number_long_and_not_large) {
    noting_register noted;
    EXPECT_EQ(line_cas(noted, std::string(100000, '0') + "7 8"), "42");
    EXPECT_EQ(noted.asked, (requests{{7, 8}}));
}
