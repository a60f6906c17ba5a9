// Compare and swap for a pipe: a line OLD NEW from standard input, a reply line on standard output.
//
//   ./stdin_cas                                 type  0 7  and  7 8  and  0 9
//   printf '0 7\n7 8\n0 9' | ./stdin_cas
//   yes 0 1 | head -n 10000000 | ./stdin_cas | tail -n 1
//
// Look at how the input is read: in blocks that end anywhere, also in the middle of a line. The same happens
// on every network connection, and lab02 makes a class of it. Next: stdin_cas_regex does it in one piece.
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
    std::string replies;  // written when they fill a block, and before a read that would wait
    const auto answer = [&](std::string_view line) {
        replies += line_cas(cas_register, line);
        replies += '\n';
        if (replies.size() >= block_size) flush(replies);
    };

    std::string begun;  // the beginning of a line whose end is still to come
    std::vector<char> block(block_size);
    while (true) {
        if (!replies.empty() && read_would_wait()) flush(replies);
        const auto received = check("read", read(STDIN_FILENO, block.data(), block.size()));
        if (received == 0) break;  // end of file
        std::string_view rest{block.data(), static_cast<std::size_t>(received)};
        for (std::size_t end; (end = rest.find('\n')) != rest.npos; rest.remove_prefix(end + 1)) {
            if (begun.empty()) {
                answer(rest.substr(0, end));
            } else {
                answer(begun += rest.substr(0, end));
                begun.clear();
            }
        }
        begun += rest;
    }
    if (!begun.empty()) answer(begun);  // the last line may come without its newline
    flush(replies);
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
