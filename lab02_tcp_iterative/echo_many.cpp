// Starts many echo_clients at once and tells how each of them ended.
//
//   ./echo_server -d 1                  in one terminal
//   ./echo_many -n 4 localhost Hello    in another
//
// Look at the dates in the replies: four clients at once, and the server serves one a second. How a program
// is started, as posix_spawn does it here, is taken apart in lab04.
#include <err.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <vector>

#include "options.hpp"
#include "posix.hpp"

// Complete before the handler is installed.
std::vector<pid_t> clients;

/// Passes the signal on to all clients; then main's waitpid sees them end.
extern "C" void on_stop(int number) {
    for (const pid_t client : clients) kill(client, number);
}

/// Starts a program and returns its PID; posix_spawn(3). Throws std::system_error.
pid_t start(const std::string& program, const std::vector<std::string>& arguments) {
    // posix_spawn wants char*, and changes none of them.
    std::vector<char*> words{const_cast<char*>(program.c_str())};
    for (const std::string& argument : arguments) words.push_back(const_cast<char*>(argument.c_str()));
    words.push_back(nullptr);
    pid_t process = -1;
    if (const int error = posix_spawn(&process, program.c_str(), nullptr, nullptr, words.data(), environ))
        throw std::system_error{error, std::generic_category(), "posix_spawn"};
    return process;
}

int main(int argc, char* argv[]) try {
    const options given{argc, argv, "pn", "[-p PORT] [-n CLIENTS] [HOST [WORD...]]", 0, SIZE_MAX};
    std::vector<std::string> arguments{"-p", std::to_string(given.port(50007)), "--"};
    arguments.insert(arguments.end(), given.words.begin(), given.words.end());
    const auto client = std::filesystem::read_symlink("/proc/self/exe").replace_filename("echo_client");
    const int count = given.number('n', 8, 1, 1000);
    for (int i = 0; i < count; ++i) clients.push_back(start(client, arguments));

    struct sigaction stop = {};
    stop.sa_handler = on_stop;
    // waitpid goes on after the handler, so main still waits for all clients.
    stop.sa_flags = SA_RESTART;
    check("sigaction", sigaction(SIGINT, &stop, nullptr));
    check("sigaction", sigaction(SIGTERM, &stop, nullptr));

    bool all_succeeded = true;
    for (std::size_t i = 0; i < clients.size(); ++i) {
        int status = 0;
        check("waitpid", waitpid(clients[i], &status, 0));
        if (status != 0) all_succeeded = false;
        std::cout << "client " << i + 1 << ": ";
        if (WIFEXITED(status))
            std::cout << "exit status " << WEXITSTATUS(status) << '\n';
        else
            std::cout << "killed by signal " << WTERMSIG(status) << '\n';
    }
    return all_succeeded ? 0 : 1;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
