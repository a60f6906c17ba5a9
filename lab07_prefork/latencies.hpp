// How long requests took: the figure that only a few exceed says more than the mean, which hides them.
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <vector>

class latencies {
 public:
    using duration = std::chrono::nanoseconds;

    void reserve(std::size_t count) { all_.reserve(count); }
    void add(duration one) { all_.push_back(one); }

    /// Returns the smallest of the durations that at least `percent` of them do not exceed ("nearest rank":
    /// 100 is the longest). 0 if there are none. Reorders them inside.
    duration percentile(double percent) {
        if (all_.empty()) return {};
        const double rank = std::ceil(percent / 100 * static_cast<double>(all_.size()));
        const auto index = std::clamp<std::size_t>(static_cast<std::size_t>(rank), 1, all_.size()) - 1;
        const auto place = all_.begin() + static_cast<std::ptrdiff_t>(index);
        std::nth_element(all_.begin(), place, all_.end());
        return *place;
    }

 private:
    std::vector<duration> all_;
};
