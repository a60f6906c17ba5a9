// The command line of every program: single-letter options with a value, and words.
#pragma once

#include <errno.h>
#include <unistd.h>

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <vector>

/// Parses the command line; getopt(3). `letters` are the options, "pa" for -p and -a, each with a value;
/// `flags` are the options without one. Wrong usage, here and in the calls below, prints why and a usage line
/// on stderr and exits with 2; -h prints the usage line on stdout and exits with 0.
class options {
 public:
    options(int argc, char* argv[], std::string_view letters, const std::string& synopsis,
            std::size_t min_words = 0, std::size_t max_words = 0, std::string_view flags = "")
        : usage_{std::string{"usage: "} + program_invocation_short_name + " " + synopsis} {
        std::string known = "+h" + std::string{flags};
        for (const char letter : letters) known += {letter, ':'};
        for (int letter; (letter = getopt(argc, argv, known.c_str())) != -1;) {
            if (letter == 'h') {
                std::cout << usage_ << '\n';
                std::exit(0);
            }
            // getopt has said why.
            if (letter == '?') wrong("");
            values_[static_cast<char>(letter)] = optarg != nullptr ? optarg : "";
        }
        words.assign(argv + optind, argv + argc);
        if (words.size() < min_words) wrong("too few arguments");
        if (words.size() > max_words) wrong("unexpected argument '" + words[max_words] + "'");
    }

    /// Returns whether -`letter` was given.
    bool has(char letter) const { return values_.count(letter) != 0; }

    /// Returns the value of -`letter`, or `otherwise` if it was not given.
    std::string text(char letter, const std::string& otherwise) const {
        const auto found = values_.find(letter);
        return found == values_.end() ? otherwise : found->second;
    }

    /// Returns the value of -`letter` as a number from `least` to `most`, an int or a double (seconds).
    template <typename Number>
    Number number(char letter, Number otherwise, Number least, Number most) const {
        const auto found = values_.find(letter);
        if (found == values_.end()) return otherwise;
        const std::string& text = found->second;
        Number value{};
        const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
        if (error != std::errc{} || end != text.data() + text.size() || !(value >= least && value <= most))
            wrong(std::string{"-"} + letter + " '" + text + "': not a number from " + std::to_string(least) +
                  " to " + std::to_string(most));
        return value;
    }

    /// Returns the value of -p, a port; 0 lets the kernel choose one.
    int port(int otherwise) const { return number('p', otherwise, 0, 65535); }

    /// Returns the value of -a, an address to listen at: this machine's own unless it is told otherwise.
    std::string address() const { return text('a', "127.0.0.1"); }

    /// Ends the program for wrong usage.
    [[noreturn]] void wrong(const std::string& reason) const {
        if (!reason.empty()) std::cerr << program_invocation_short_name << ": " << reason << '\n';
        std::cerr << usage_ << '\n';
        std::exit(2);
    }

    /// What stands after the options.
    std::vector<std::string> words;

 private:
    std::string usage_;
    std::map<char, std::string> values_;
};
