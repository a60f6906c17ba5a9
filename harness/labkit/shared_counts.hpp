// The counts that a preloaded library shares with the harness: shared_counts.py is the other side.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>

/// The counts in the file that the environment variable names; `own`, so many bytes, where there is none: in
/// a program that the judged one has started. Static: the judged program may have a function of this name.
static std::atomic<std::uint64_t>* shared_counts(const char* variable, std::atomic<std::uint64_t>* own,
                                                 std::size_t size) {
    const char* name = std::getenv(variable);
    const int file = name == nullptr ? -1 : open(name, O_RDWR | O_CLOEXEC);
    if (file == -1) return own;
    void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    return memory == MAP_FAILED ? own : static_cast<std::atomic<std::uint64_t>*>(memory);
}
