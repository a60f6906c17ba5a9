// Attack: two GiB of page tables, for pages that are all the same empty one.
// Expect: fail memory_hog|exited_early|not_listening|crashed
#include "serve.hpp"

int main() {
    size_t kept = 0;
    while (kept < 2UL << 30) {
        const size_t size = 1UL << 40;
        char* const p = static_cast<char*>(
            mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (p == MAP_FAILED) return 1;
        madvise(p, size, MADV_NOHUGEPAGE);
        for (size_t at = 0; at < size && kept < 2UL << 30; at += 2UL << 20, kept += 4096)
            static_cast<void>(*static_cast<volatile char*>(p + at));
    }
    serve();
}
