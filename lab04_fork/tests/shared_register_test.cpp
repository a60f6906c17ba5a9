#include "../shared_register.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

/// Runs `work` in a child process; returns whether it came to its end.
template <typename Work>
bool in_child(Work work) {
    const pid_t child = fork();
    if (child == 0) {
        work();
        _exit(0);
    }
    int status = 0;
    return waitpid(child, &status, 0) == child && status == 0;
}

TEST(SharedRegister, StartsAtZero) {
    ASSERT_TRUE(in_child([] { shared_register{}.compare_and_swap(0, 1); })) << "the child crashed";
    shared_register shared;
    EXPECT_EQ(shared.compare_and_swap(1, 2), 0u);
}

TEST(SharedRegister, SwapsOnlyWhatIsExpected) {
    ASSERT_TRUE(in_child([] { shared_register{}.compare_and_swap(0, 1); })) << "the child crashed";
    shared_register shared;
    EXPECT_EQ(shared.compare_and_swap(0, 7), 0u);
    EXPECT_EQ(shared.compare_and_swap(0, 8), 7u);
    EXPECT_EQ(shared.compare_and_swap(7, 8), 7u);
    EXPECT_EQ(shared.compare_and_swap(0, 0), 8u);
}

TEST(SharedRegister, KeepsWhatAChildStored) {
    shared_register shared;
    ASSERT_TRUE(in_child([&] { shared.compare_and_swap(0, 7); })) << "the child crashed";
    EXPECT_EQ(shared.compare_and_swap(0, 0), 7u) << "0: the child had a copy of its own";
}

TEST(SharedRegister, LosesNoIncrementOfFourChildren) {
    constexpr int increments = 200'000;
    shared_register shared;
    ASSERT_TRUE(in_child([&] { shared.compare_and_swap(0, 0); })) << "the child crashed";
    int children = 0;
    for (int i = 0; i < 4; ++i) {
        if (fork() != 0) {
            ++children;
            continue;
        }
        alarm(20);  // ends a child whose increments never succeed
        for (int done = 0; done < increments;) {
            const auto present = shared.compare_and_swap(0, 0);
            if (shared.compare_and_swap(present, present + 1) == present) ++done;
        }
        _exit(0);
    }
    for (int i = 0; i < children; ++i) {
        int status = 0;
        wait(&status);
        EXPECT_EQ(status, 0) << "a child crashed, or its increments never succeeded";
    }
    EXPECT_EQ(shared.compare_and_swap(0, 0), 4u * increments);
}
