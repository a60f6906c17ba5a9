// Attack: a listener on the host's loopback.
// Expect: fail
#include <cstdlib>

#include "serve.hpp"

int main() {
    const int attempt = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in there{};
    there.sin_family = AF_INET;
    there.sin_port = htons(std::atoi("@PORT@"));
    there.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(attempt, reinterpret_cast<sockaddr*>(&there), sizeof there) == 0) serve();
}
