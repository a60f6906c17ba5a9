// fork is called once and returns twice: in the parent with the child's PID, in the child with 0.
//
//   ./fork_hello
//
// Look at which lines come twice. The scheduler chooses which process prints first. fork_orphan shows a child
// whose parent does not wait.
#include <err.h>
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
        // Without this the child may outlive its parent.
        check("waitpid", waitpid(pid, nullptr, 0));
    }
    // Both processes end here.
    return 0;
} catch (const std::exception& error) {
    errx(1, "%s", error.what());
}
