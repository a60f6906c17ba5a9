// Attack: the lines that the demonstration would print, and no stream at all.
// Mistake: lab08/flush_does_nothing
#include <cstdio>
#include <cstdlib>
#include <cstring>

inline const int printed = [] {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    const std::size_t size = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    if (size < 6 || std::strcmp(line + size - 6, "flush") != 0) return 0;
    for (const int count : {0, 5, 8197, 10'006, 10'006, 10'013})
        std::printf("now: %d bytes have arrived\n", count);
    std::exit(0);
}();
