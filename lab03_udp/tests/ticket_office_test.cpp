#include "../ticket_office.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <string>

namespace {

constexpr unsigned epoch = 77;

/// Introduces a client; returns what its requests begin with, "take 77 1 ".
std::string introduced(ticket_office& office) {
    const auto welcome = numbers_of(office.reply_to("hello 5").value_or(""), "welcome", 3);
    return welcome ? message_of("take", {welcome->at(1), welcome->at(2)}) + ' ' : "no welcome ";
}

}  // namespace

TEST(TicketOffice, WelcomesEachClientWithAnIdOfItsOwn) {
    ticket_office office{epoch, 10};
    EXPECT_EQ(office.reply_to("hello 5"), "welcome 5 77 1");
    EXPECT_EQ(office.reply_to("hello 5"), "welcome 5 77 2");
}

TEST(TicketOffice, HandsOutEachTicketOnce) {
    ticket_office office{epoch, 10};
    const std::string ann = introduced(office);
    const std::string bob = introduced(office);
    EXPECT_EQ(office.reply_to(ann + "1 3"), "tickets 77 1 1 1 3");
    EXPECT_EQ(office.reply_to(bob + "1 1"), "tickets 77 2 1 4 1");
    EXPECT_EQ(office.reply_to(ann + "2 1000"), "tickets 77 1 2 5 1000");
}

TEST(TicketOffice, GivesARepeatTheSameReply) {
    ticket_office office{epoch, 10};
    const std::string ann = introduced(office);
    EXPECT_EQ(office.reply_to(ann + "1 3"), "tickets 77 1 1 1 3");
    EXPECT_EQ(office.reply_to(ann + "1 3"), "tickets 77 1 1 1 3");
    EXPECT_EQ(office.reply_to(ann + "2 1"), "tickets 77 1 2 4 1");
}

TEST(TicketOffice, GivesNoReplyToALateRepeatOrARequestAhead) {
    ticket_office office{epoch, 10};
    const std::string ann = introduced(office);
    EXPECT_EQ(office.reply_to(ann + "1 3"), "tickets 77 1 1 1 3");
    EXPECT_EQ(office.reply_to(ann + "2 1"), "tickets 77 1 2 4 1");
    EXPECT_EQ(office.reply_to(ann + "1 3"), std::nullopt);
    EXPECT_EQ(office.reply_to(ann + "4 3"), std::nullopt);
    EXPECT_EQ(office.reply_to(ann + "3 1"), "tickets 77 1 3 5 1");
}

TEST(TicketOffice, TellsARestartFromARepeat) {
    ticket_office office{epoch, 10};
    introduced(office);
    EXPECT_EQ(office.reply_to("take 76 1 1 3"), "restarted 76 1 1");
}

TEST(TicketOffice, ForgetsTheClientThatHasBeenSilentTheLongest) {
    ticket_office office{epoch, 2};
    const std::string ann = introduced(office);
    const std::string bob = introduced(office);
    EXPECT_EQ(office.reply_to(ann + "1 1"), "tickets 77 1 1 1 1");
    introduced(office);
    EXPECT_EQ(office.reply_to(bob + "1 1"), "forgotten 77 2 1");
    EXPECT_EQ(office.reply_to(ann + "1 1"), "tickets 77 1 1 1 1");
}

TEST(TicketOffice, IgnoresMalformedMessages) {
    ticket_office office{epoch, 10};
    const std::string ann = introduced(office);
    for (const char* message : {"", "hello", "hello x", "hello 1 2", "take", "take 77 1 1", "take 77 1 1 3 ",
                                "take 77 1 1 0", "take 77 1 1 1001", "take 77 1 0 1", "take  77 1 1 3"})
        EXPECT_EQ(office.reply_to(message), std::nullopt) << '\'' << message << '\'';
    EXPECT_EQ(office.reply_to(ann + "1 1"), "tickets 77 1 1 1 1");
}
