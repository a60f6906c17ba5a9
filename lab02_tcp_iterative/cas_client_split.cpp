// A client of the cas servers that sends one line in four pieces, as TCP itself may cut it.
//
//   for i in $(seq 200); do ./cas_client_split localhost 0 0; done | sort | uniq -c
//
// Look at what cas_server answers: one to four replies, not always the same. cas_server_lines answers once.
#include <err.h>
#include <sys/socket.h>

#include <exception>
#include <string>

#include "connect_to.hpp"
#include "options.hpp"
#include "posix.hpp"
#include "print_replies.hpp"

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "p", "[-p PORT] HOST OLD NEW", 3, 3};
    const unique_fd connection = connect_to(given.words[0], given.port(22222));
    for (const std::string& piece : {given.words[1], std::string{" "}, given.words[2], std::string{"\n"}})
        check("send", send(connection.get(), piece.data(), piece.size(), MSG_NOSIGNAL));
    print_replies(connection);
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
