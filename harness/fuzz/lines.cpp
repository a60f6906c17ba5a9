// Fuzzes what stands between a stranger's bytes and the register: line_buffer.hpp and line_cas.hpp. Each
// input is a stream; its first bytes say how it is cut. Any cutting has to give the same replies, those of a
// plain oracle.
//
//   g++ -std=c++20 -O1 -g -fsanitize=address,undefined -o lines lines.cpp && ./lines 1000000 [SEED]
//   clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -DLIBFUZZER -o lines lines.cpp && ./lines
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <regex>
#include <string>
#include <string_view>
#include <vector>

#include "../../lab02_tcp_iterative/cas_register.hpp"
#include "../../lab02_tcp_iterative/line_buffer.hpp"
#include "../../lab02_tcp_iterative/line_cas.hpp"

namespace {
/// The replies that a server sends for the stream, received in pieces of these sizes, again and again.
std::string replies(std::string_view stream, const std::vector<std::size_t>& sizes) {
    CompareAndSwapRegister cas_register;
    line_buffer lines;
    std::string sent;
    try {
        for (std::size_t piece = 0; !stream.empty(); ++piece) {
            const std::string_view chunk = stream.substr(0, sizes[piece % sizes.size()]);
            stream.remove_prefix(chunk.size());
            lines.append(chunk);
            while (const auto line = lines.next()) sent += line_cas(cas_register, *line) + '\n';
        }
    } catch (const line_too_long& error) {
        sent += std::string{error.what()} + '\n';
    }
    return sent;
}

/// The same, said differently: whole lines, a regular expression, decimal numbers compared as text.
std::string oracle(const std::string& stream) {
    static const std::regex request{R"([ \t\r\v\f]*([0-9]+)[ \t\r\v\f]+([0-9]+)[ \t\r\v\f]*)"};
    const auto canonical = [](const std::string& digits) {
        const std::size_t first = digits.find_first_not_of('0');
        return first == digits.npos ? std::string{"0"} : digits.substr(first);
    };
    const auto too_large = [](const std::string& number) {
        const std::string largest = "18446744073709551615";
        return number.size() > largest.size() || (number.size() == largest.size() && number > largest);
    };
    std::string present = "0";
    std::string sent;
    for (std::size_t begin = 0; begin < stream.size();) {
        const std::size_t end = stream.find('\n', begin);
        if (std::min(end, stream.size()) - begin > 65536) return sent + "Line too long\n";
        if (end == stream.npos) break;
        const std::string line = stream.substr(begin, end - begin);
        begin = end + 1;
        std::smatch found;
        // A line of thousands of bytes is too deep for std::regex; the generator makes none that is a
        // request.
        if (line.size() > 4096 || !std::regex_match(line, found, request)) {
            sent += "Bad Syntax\n";
        } else if (too_large(canonical(found[1])) || too_large(canonical(found[2]))) {
            sent += "Out of Range\n";
        } else {
            sent += present + '\n';
            if (present == canonical(found[1])) present = canonical(found[2]);
        }
    }
    return sent;
}

void expect_equal(const std::string& expected, const std::string& got, const std::string& stream) {
    if (expected == got) return;
    std::fprintf(stderr, "expected %s\ngot %s\nfor the stream (%zu bytes) %.400s\n", expected.c_str(),
                 got.c_str(), stream.size(), stream.c_str());
    std::abort();
}
}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    constexpr std::size_t cuts = 4;
    if (size < cuts) return 0;
    std::vector<std::size_t> sizes;
    for (std::size_t i = 0; i < cuts; ++i) sizes.push_back(1 + data[i] * (data[i] > 250 ? 300U : 1U));
    const std::string stream{reinterpret_cast<const char*>(data) + cuts, size - cuts};
    const std::string whole = replies(stream, {stream.size() + 1});
    expect_equal(whole, replies(stream, sizes), stream);
    if (size < 4096 || stream.find_first_of("0123456789") == stream.npos)
        expect_equal(oracle(stream), whole, stream);
    return 0;
}

#ifndef LIBFUZZER
int main(int argc, char* argv[]) {
    const long count = argc > 1 ? std::atol(argv[1]) : 10000;
    std::mt19937_64 random{argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 1};
    constexpr std::array<std::string_view, 16> words{" ",
                                                     "\n",
                                                     "0",
                                                     "1",
                                                     "7 8\n",
                                                     "0 7\n",
                                                     "18446744073709551615",
                                                     "18446744073709551616",
                                                     "\t",
                                                     "\r\n",
                                                     "\v\f",
                                                     "x",
                                                     "-",
                                                     std::string_view{"\0", 1},
                                                     "\xff",
                                                     "0 1\n1 0\n"};
    for (long i = 0; i < count; ++i) {
        std::string input(4, '\0');
        for (char& c : input) c = static_cast<char>(random());
        for (std::size_t n = random() % 24; n > 0; --n) {
            if (random() % 8 == 0)
                input += static_cast<char>(random());
            else
                input += words[random() % words.size()];
        }
        if (random() % 4096 == 0)  // at, below and above the limit, now and then
            input = input.substr(0, 4) + "\n" + std::string(65530 + random() % 12, 'x') + input.substr(4);
        LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(input.data()), input.size());
    }
    std::printf("%ld inputs, no finding\n", count);
}
#endif
