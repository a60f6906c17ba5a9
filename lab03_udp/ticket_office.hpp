// The memory of take_server: the last request of each client, so that a repeated request is not served twice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "messages.hpp"

class ticket_office {
 public:
    /// The most tickets that one request can ask for.
    static constexpr std::uint64_t most_tickets = 1000;

    /// Remembers at most `capacity` clients. `epoch` is a number that no earlier run of the server has had.
    ticket_office(std::uint64_t epoch, std::size_t capacity) : epoch_{epoch}, capacity_{capacity} {}

    /// Returns the reply to a message, or nothing if it gets none: it is malformed, or a repeat of a request
    /// whose reply the client has acknowledged by its next request.
    std::optional<std::string> reply_to(std::string_view message) {
        if (const auto hello = numbers_of(message, "hello", 1))
            return message_of("welcome", {hello->at(0), epoch_, new_client()});
        const auto take = numbers_of(message, "take", 4);
        if (!take) return std::nullopt;
        const std::uint64_t epoch = take->at(0);
        const std::uint64_t client = take->at(1);
        const std::uint64_t request = take->at(2);
        const std::uint64_t count = take->at(3);
        if (request < 1 || count < 1 || count > most_tickets) return std::nullopt;
        if (epoch != epoch_) return message_of("restarted", {epoch, client, request});
        const auto found = clients_.find(client);
        if (found == clients_.end()) return message_of("forgotten", {epoch, client, request});
        return take_tickets(client, found->second, request, count);
    }

 private:
    struct known_client {
        std::uint64_t last_request = 0;
        // The reply to last_request. The client has all earlier ones: it sends a request after the reply to
        // the one before.
        std::string reply;
        // When its last message came, by the count of all messages.
        std::uint64_t last_used = 0;
    };

    /// Returns the ID of a new client, which it remembers from now on.
    std::uint64_t new_client() {
        // BEGIN SOLUTION: if the capacity is reached, forget the client that has been silent the longest.
        if (clients_.size() == capacity_)
            clients_.erase(std::ranges::min_element(
                clients_, {}, [](const auto& entry) { return entry.second.last_used; }));
        // END SOLUTION
        clients_[next_client_].last_used = ++messages_;
        return next_client_++;
    }

    /// Returns the reply to a request of `known`; nothing if it has been acknowledged, or if it is not the
    /// next one.
    std::optional<std::string> take_tickets(std::uint64_t client, known_client& known, std::uint64_t request,
                                            std::uint64_t count) {
        known.last_used = ++messages_;
        // BEGIN SOLUTION: serve the next request, and keep its reply; to a repeat of it give the same reply.
        if (request == known.last_request + 1) {
            known.last_request = request;
            known.reply = message_of("tickets", {epoch_, client, request, next_ticket_, count});
            next_ticket_ += count;
        }
        if (request == known.last_request) return known.reply;
        // END SOLUTION
        return std::nullopt;
    }

    std::uint64_t epoch_;
    std::size_t capacity_;
    std::map<std::uint64_t, known_client> clients_;
    std::uint64_t next_client_ = 1;
    std::uint64_t next_ticket_ = 1;
    std::uint64_t messages_ = 0;
};
