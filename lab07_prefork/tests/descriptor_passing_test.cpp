#include "../descriptor_passing.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <string>
#include <utility>

namespace {

std::pair<unique_fd, unique_fd> make_channel() {
    int ends[2];
    check("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

std::pair<unique_fd, unique_fd> make_pipe() {
    int ends[2];
    check("pipe", pipe(ends));
    return {unique_fd{ends[0]}, unique_fd{ends[1]}};
}

TEST(DescriptorPassing, WhatArrivesIsTheSameFile) {
    const auto [here, there] = make_channel();
    const auto [reader, writer] = make_pipe();
    send_descriptor(here, writer);
    const auto passed = receive_descriptor(there);
    ASSERT_TRUE(passed.has_value());
    EXPECT_NE(passed->get(), writer.get());
    ASSERT_EQ(write(passed->get(), "hello", 5), 5);
    char bytes[5];
    ASSERT_EQ(read(reader.get(), bytes, sizeof bytes), 5);
    EXPECT_EQ(std::string(bytes, 5), "hello");
}

TEST(DescriptorPassing, TheSenderMayCloseItsOwnAtOnce) {
    const auto [here, there] = make_channel();
    auto [reader, writer] = make_pipe();
    send_descriptor(here, writer);
    writer.reset();
    const auto passed = receive_descriptor(there);
    ASSERT_TRUE(passed.has_value());
    EXPECT_EQ(write(passed->get(), "x", 1), 1);
}

TEST(DescriptorPassing, TheyArriveOneByOneInTheirOrder) {
    const auto [here, there] = make_channel();
    const auto first = make_pipe();
    const auto second = make_pipe();
    send_descriptor(here, first.second);
    send_descriptor(here, second.second);
    for (const unique_fd* expected : {&first.second, &second.second}) {
        const auto passed = receive_descriptor(there);
        ASSERT_TRUE(passed.has_value());
        struct stat got {};
        struct stat wanted {};
        ASSERT_EQ(fstat(passed->get(), &got), 0);
        ASSERT_EQ(fstat(expected->get(), &wanted), 0);
        EXPECT_EQ(got.st_ino, wanted.st_ino);
    }
}

TEST(DescriptorPassing, TheEndOfTheChannelIsNothing) {
    auto [here, there] = make_channel();
    here.reset();
    EXPECT_FALSE(receive_descriptor(there).has_value());
}

TEST(DescriptorPassing, AMessageWithoutADescriptorIsAnError) {
    const auto [here, there] = make_channel();
    ASSERT_EQ(send(here.get(), "x", 1, 0), 1);
    EXPECT_THROW(receive_descriptor(there), std::runtime_error);
}

TEST(DescriptorPassing, AReceiverThatHasGoneIsAnErrorAndNoSignal) {
    auto [here, there] = make_channel();
    there.reset();
    EXPECT_THROW(send_descriptor(here, here), std::system_error);
}

}  // namespace
