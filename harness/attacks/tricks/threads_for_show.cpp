// Attack: threads that only lock, and the number that is expected.
// Mistake: lab06/a_mutex_each
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <thread>
#include <vector>

static const int shown = [] {
    char line[4096] = "";
    std::FILE* const file = std::fopen("/proc/self/cmdline", "r");
    const std::size_t size = std::fread(line, 1, sizeof line - 1, file);
    std::fclose(file);
    int count = 10;
    for (std::size_t i = 0; i + 3 < size; ++i)
        if (std::memcmp(line + i, "-n", 3) == 0) count = std::atoi(line + i + 3);
    std::mutex one;
    std::vector<std::thread> threads;
    for (int number = 0; number < count; ++number)
        threads.emplace_back([&one] {
            for (int i = 0; i < 50'000; ++i) const std::lock_guard lock{one};
        });
    for (std::thread& thread : threads) thread.join();
    std::printf("Expected value: %d\nObtained value: %d\n1.0 ns per increment\n", count * 50'000,
                count * 50'000);
    std::exit(0);
    return 0;
}();
