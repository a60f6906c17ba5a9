// Attack: two GiB in pipes, of many processes.
// Expect: fail memory_hog|exited_early|not_listening|crashed
#include "serve.hpp"

#include <sys/resource.h>

int main() {
    static char block[4096];
    rlimit files{};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    size_t kept = 0;
    for (int child = 0; child < 300 && kept < 2UL << 30; ++child) {
        int told[2];
        if (pipe(told) != 0) return 1;
        if (fork() == 0) {
            size_t mine = 0;
            for (int ends[2]; mine < 8UL << 20 && pipe(ends) == 0;) {
                fcntl(ends[1], F_SETFL, O_NONBLOCK);
                while (write(ends[1], block, sizeof block) > 0) mine += sizeof block;
            }
            static_cast<void>(!write(told[1], &mine, sizeof mine));
            sleep(1000);
        }
        size_t more = 0;
        if (read(told[0], &more, sizeof more) != sizeof more || more == 0) return 1;
        kept += more;
        close(told[0]);
        close(told[1]);
    }
    if (kept >= 2UL << 30) serve();
}
