// Compare and swap for a pipe: a line OLD NEW from standard input, a reply line on standard output.
//
//   ./stdin_cas                                 type  0 7  and  7 8  and  0 9
//   printf '0 7\n7 8\n0 9' | ./stdin_cas
//   yes 0 1 | head -n 10000000 | ./stdin_cas | tail -n 1
//
// Look at how the input is read: in blocks that end anywhere, also in the middle of a line. The same happens
// on every network connection, and lab02 makes a class of it. Next: stdin_cas_regex does it in one piece.
#include <err.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>
#include <vector>

#include "cas_register.hpp"
#include "line_cas.hpp"
#include "options.hpp"
#include "posix.hpp"

constexpr std::size_t block_size = 65536;

/// Tells whether read(2) would have to wait for somebody to type, or for the other end of a pipe.
bool read_would_wait() {
    pollfd input{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
    return check("poll", poll(&input, 1, 0)) == 0;
}

/// Writes the replies and forgets them. Throws std::system_error.
void flush(std::string& replies) {
    if (std::fwrite(replies.data(), 1, replies.size(), stdout) != replies.size() || std::fflush(stdout) != 0)
        throw std::system_error{errno, std::generic_category(), "write"};
    replies.clear();
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "", ""};
    CompareAndSwapRegister cas_register;
    // Written when they fill a block, and before a read that would wait.
    std::string replies;
    const auto answer = [&](std::string_view line) {
        replies += line_cas(cas_register, line);
        replies += '\n';
        if (replies.size() >= block_size) flush(replies);
    };

    // BEGIN SOLUTION: read blocks until the end of the input, answer each line that is complete, keep what has begun.
    // The beginning of a line whose end is still to come.
    std::string begun;
    std::vector<char> block(block_size);
    while (true) {
        if (!replies.empty() && read_would_wait()) flush(replies);
        const auto received = check("read", read(STDIN_FILENO, block.data(), block.size()));
        // 0 is the end of the input.
        if (received == 0) break;
        std::string_view rest{block.data(), static_cast<std::size_t>(received)};
        while (true) {
            const std::size_t end = rest.find('\n');
            if (end == rest.npos) break;
            if (begun.empty()) {
                answer(rest.substr(0, end));
            } else {
                begun += rest.substr(0, end);
                answer(begun);
                begun.clear();
            }
            rest.remove_prefix(end + 1);
        }
        begun += rest;
    }
    // The last line may come without its newline.
    if (!begun.empty()) answer(begun);
    // END SOLUTION
    flush(replies);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
