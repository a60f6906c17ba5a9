// One register for a process and all the children that it forks later.
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <new>
#include <system_error>

#include "posix.hpp"

class shared_register {
 public:
    /// Starts at 0. Throws std::system_error if there is no memory.
    shared_register() {
        // BEGIN SOLUTION: let value_ point to a 0 in memory that fork does not copy; mmap(2).
        void* const memory =
            mmap(nullptr, sizeof *value_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
        value_.reset(new (memory) std::atomic<std::uint64_t>{0});
        // END SOLUTION
    }

    /// Returns the present value; stores `desired` if and only if the present value is `expected`, in one
    /// atomic step for all processes. A process that is killed at any moment leaves the register usable.
    std::uint64_t compare_and_swap(std::uint64_t expected, std::uint64_t desired) {
        std::uint64_t present = expected;
        // BEGIN SOLUTION: compare, store and read the present value in one atomic step.
        // If it fails, it sets present to the value that it has found.
        value_->compare_exchange_strong(present, desired);
        // END SOLUTION
        return present;
    }

 private:
    // Without a lock inside, an atomic works between processes as it does between threads.
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    struct unmap {
        // Best effort: the kernel unmaps it when the process ends, too.
        void operator()(std::atomic<std::uint64_t>* value) const { munmap(value, sizeof *value); }
    };
    std::unique_ptr<std::atomic<std::uint64_t>, unmap> value_;
};
