// What recv may return, and how the messages are found in it: cuts a stream into pieces, feeds them to a
// decoder, prints both.
//
//   printf 'startconnect' | ./framing_demo none 7                  each piece taken for a message
//   printf 'start\nconnect\n' | ./framing_demo separator 7 2       pieces of 7, 2, 2, … bytes
//   printf '\0\5start\0\7connect' | ./framing_demo prefix 1        a byte at a time
//   printf 'start   connect ' | ./framing_demo fixed               pieces of 8 bytes
//
// Look at when a message is complete: never before its last byte, however the stream is cut. line_buffer.hpp
// is the separator's decoder with a limit, as a server needs it.
#include <err.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <exception>
#include <functional>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <map>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "framing.hpp"
#include "options.hpp"

constexpr std::size_t fixed_length = 8;

/// Returns the bytes in quotes, those that cannot be printed as \xNN.
std::string shown(std::string_view bytes) {
    std::ostringstream text;
    text << std::hex << std::setfill('0') << '"';
    for (const char c : bytes) {
        if (c >= ' ' && c <= '~' && c != '"' && c != '\\')
            text << c;
        else
            text << "\\x" << std::setw(2) << static_cast<int>(static_cast<unsigned char>(c));
    }
    text << '"';
    return text.str();
}

/// Reads the sizes of the pieces from the command line.
std::vector<std::size_t> piece_sizes(const options& given) {
    std::vector<std::size_t> sizes;
    for (std::size_t i = 1; i < given.words.size(); ++i) {
        const std::string& word = given.words[i];
        std::size_t& size = sizes.emplace_back(0);
        const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), size);
        if (error != std::errc{} || end != word.data() + word.size() || size == 0)
            given.wrong("'" + word + "': not a number of bytes");
    }
    if (sizes.empty()) sizes.push_back(fixed_length);
    return sizes;
}

int main(int argc, char* argv[]) try {
    using decoder = std::function<std::optional<std::string>(std::string & stream, bool closed)>;
    const std::map<std::string, decoder> decoders{
        {"none", [](auto& stream, bool) { return take_until_close(stream, true); }},
        {"fixed", [](auto& stream, bool) { return take_fixed(stream, fixed_length); }},
        {"separator", [](auto& stream, bool) { return take_separated(stream, '\n'); }},
        {"prefix", [](auto& stream, bool) { return take_prefixed(stream); }},
        {"close", [](auto& stream, bool closed) { return take_until_close(stream, closed); }},
    };
    const options given{argc, argv, "", "none|fixed|separator|prefix|close [SIZE...] <STREAM", 1, SIZE_MAX};
    const auto chosen = decoders.find(given.words[0]);
    if (chosen == decoders.end()) given.wrong("'" + given.words[0] + "': no such framing");
    const std::vector<std::size_t> sizes = piece_sizes(given);

    const std::string input{std::istreambuf_iterator<char>{std::cin}, {}};
    std::string stream;  // received, and not yet part of a message
    std::size_t from = 0;
    for (std::size_t piece = 0; from < input.size(); ++piece) {
        const std::string received = input.substr(from, sizes[std::min(piece, sizes.size() - 1)]);
        from += received.size();
        std::cout << "recv " << shown(received) << '\n';
        stream += received;
        while (const auto message = chosen->second(stream, false))
            std::cout << "message " << shown(*message) << '\n';
    }
    std::cout << "recv \"\" (end of file)\n";
    while (const auto message = chosen->second(stream, true))
        std::cout << "message " << shown(*message) << '\n';
    if (!stream.empty()) std::cout << "left over " << shown(stream) << '\n';
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
