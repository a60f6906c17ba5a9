// Attack: three threads that sleep, and a main that prints what they would.
// Mistake: lab06/nobody_is_told
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <thread>

static const int shown = [] {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    const std::size_t size = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    int readers = 3;
    for (std::size_t i = 0; i + 3 < size; ++i)
        if (std::memcmp(line + i, "-n", 3) == 0) readers = std::atoi(line + i + 3);
    for (int number = 0; number < readers; ++number) std::thread{[] { pause(); }}.detach();
    while (std::printf("Input: "), std::fflush(stdout), std::fgets(line, sizeof line, stdin) != nullptr) {
        if (line[0] == '\n') break;
        for (int i = 0; line[i] != '\n' && line[i] != '\0'; ++i)
            std::printf("Thread-%d: %c\n", i % readers + 1, line[i]);
    }
    for (int number = 1; number <= readers; ++number) std::printf("Thread-%d: I'm done!\n", number);
    std::exit(0);
    return 0;
}();
