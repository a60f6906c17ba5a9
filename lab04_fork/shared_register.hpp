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
        // BEGIN SOLUTION: let value_ point to a 0 in memory that a fork does not copy; mmap(2).
        void* const memory =
            mmap(nullptr, sizeof *value_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) throw std::system_error{errno, std::generic_category(), "mmap"};
        value_.reset(new (memory) std::atomic<std::uint64_t>{0});
        // END SOLUTION
    }

    /// Returns the present value; stores `desired` if and only if the present value is `expected`. No other
    /// process ever sees, or gets, the moment between; and none that is killed leaves the register locked.
    std::uint64_t compare_and_swap(std::uint64_t expected, std::uint64_t desired) {
        std::uint64_t present = expected;
        // BEGIN SOLUTION: compare, store and learn the present value in one step that nobody can come between.
        value_->compare_exchange_strong(present, desired);  // fails: present becomes the value found instead
        // END SOLUTION
        return present;
    }

 private:
    // Without a lock inside, an atomic works between processes as it does between threads.
    static_assert(std::atomic<std::uint64_t>::is_always_lock_free);
    struct unmap {
        void operator()(std::atomic<std::uint64_t>* value) const {
            munmap(value, sizeof *value);  // best effort: it goes with the process, too
        }
    };
    std::unique_ptr<std::atomic<std::uint64_t>, unmap> value_;
};
