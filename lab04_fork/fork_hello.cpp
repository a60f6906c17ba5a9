// fork is called once and returns twice: in the parent with the child's number, in the child with 0.
//
//   ./fork_hello
//
// Look at which lines come twice, in two processes that had one memory a moment ago. Who comes first is the
// scheduler's choice. fork_orphan shows a child whose parent does not wait.
#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <iostream>

#include "posix.hpp"

int main() try {
    const pid_t pid = check("fork", fork());
    std::cout << "PID = " << pid << "\nHello world\n";
    if (pid == 0) {
        std::cout << "fork() exited in the child process\n"
                  << "child: pid " << getpid() << " parent " << getppid() << '\n';
    } else {
        std::cout << "fork() exited in the parent process\n"
                  << "parent: pid " << getpid() << " parent " << getppid() << std::endl;
        check("waitpid", waitpid(pid, nullptr, 0));  // else the child may outlive its parent
    }
    return 0;  // both processes end here
} catch (const std::exception& error) {
    std::cerr << program_invocation_short_name << ": " << error.what() << '\n';
    return 1;
}
