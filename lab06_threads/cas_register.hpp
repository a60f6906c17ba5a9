// A register that changes only if the caller knows its present value: compare and swap.
#pragma once

#include <cstdint>

class CompareAndSwapRegister {
 public:
    /// Returns the present value; stores `desired` if and only if the present value is `expected`.
    std::uint64_t compare_and_swap(std::uint64_t expected, std::uint64_t desired) {
        const std::uint64_t present = value_;
        if (present == expected) value_ = desired;
        return present;
    }

 private:
    std::uint64_t value_ = 0;
};
