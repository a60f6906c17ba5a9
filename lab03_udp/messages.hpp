// The messages of the ticket service: each is a datagram with a word and numbers.
//
//   hello NONCE                              a client introduces itself; NONCE is a random number
//   welcome NONCE EPOCH CLIENT               its reply: the server's epoch, and the client's ID
//   take EPOCH CLIENT REQUEST COUNT          a request; REQUEST is 1, 2, 3, ... of this client
//   tickets EPOCH CLIENT REQUEST FIRST COUNT its reply: tickets FIRST to FIRST + COUNT - 1
//   restarted EPOCH CLIENT REQUEST           or: the server has another epoch
//   forgotten EPOCH CLIENT REQUEST           or: the server does not know the client any more
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// Returns the `count` numbers behind `word` in a message such as "hello 17", or nothing if the message has
/// another word, more or fewer numbers, or anything else in it.
inline std::optional<std::vector<std::uint64_t>> numbers_of(std::string_view message, std::string_view word,
                                                            std::size_t count) {
    if (!message.starts_with(word)) return std::nullopt;
    message.remove_prefix(word.size());
    std::vector<std::uint64_t> numbers(count);
    for (std::uint64_t& number : numbers) {
        if (!message.starts_with(' ')) return std::nullopt;
        message.remove_prefix(1);
        const auto [end, error] = std::from_chars(message.data(), message.data() + message.size(), number);
        if (error != std::errc{}) return std::nullopt;
        message.remove_prefix(static_cast<std::size_t>(end - message.data()));
    }
    if (!message.empty()) return std::nullopt;
    return numbers;
}

/// Returns "WORD 1 2 3".
inline std::string message_of(std::string_view word, const std::vector<std::uint64_t>& numbers) {
    std::string message{word};
    for (const std::uint64_t number : numbers) message += ' ' + std::to_string(number);
    return message;
}

/// Returns whether the numbers of `message` begin with those of `key`: "tickets 7 1 3 21 10" has the key "7 1
/// 3".
inline bool has_key(std::string_view message, std::string_view key) {
    const std::size_t blank = message.find(' ');
    if (blank == message.npos) return false;
    message.remove_prefix(blank + 1);
    return message.starts_with(key) && (message.size() == key.size() || message[key.size()] == ' ');
}
