// A client of the cas servers that sends any bytes, in one send: half a line, two lines, nonsense.
//
//   ./cas_client_raw localhost '0 7'              no newline: half a line
//   ./cas_client_raw localhost $'0 7\n7 8\n'      two lines in one piece
//
// Look at how many replies come from cas_server and how many from cas_server_lines, and why. Next:
// cas_client_split, one line in four pieces.
#include <err.h>
#include <sys/socket.h>

#include <exception>
#include <string>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "print_replies.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST TEXT", 2, 2};
    const unique_fd connection = connect_to(given.words[0], given.port(22222));
    const std::string& text = given.words[1];
    check("send", send(connection.get(), text.data(), text.size(), MSG_NOSIGNAL));
    print_replies(connection);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
