// The result of a load, as text for people and as JSON for programs.
#pragma once

#include <sys/resource.h>

#include <chrono>
#include <cstddef>
#include <iomanip>
#include <map>
#include <sstream>
#include <string>

#include "latencies.hpp"
#include "posix.hpp"

/// Returns the CPU time that this process has used.
inline double cpu_seconds() {
    rusage used{};
    check("getrusage", getrusage(RUSAGE_SELF, &used));
    return static_cast<double>(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           static_cast<double>(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

struct outcome {
    std::size_t requests = 0;
    // How often each kind of error came.
    std::map<std::string, std::size_t> errors{};
    latencies served{};
    double seconds = 0;
    // Seconds of CPU that this client used.
    double cpu = 0;

    std::size_t failed() const {
        std::size_t sum = 0;
        for (const auto& [kind, count] : errors) sum += count;
        return sum;
    }

    double per_second() const { return seconds > 0 ? static_cast<double>(requests - failed()) / seconds : 0; }

    std::string as_text() {
        std::ostringstream text;
        text << std::fixed << requests << " requests in " << std::setprecision(3) << seconds << " s, "
             << std::setprecision(0) << per_second() << " a second\n"
             << std::setprecision(3) << "took p50 " << milliseconds(50) << " ms, p90 " << milliseconds(90)
             << " ms, p99 " << milliseconds(99) << " ms, max " << milliseconds(100) << " ms\n";
        if (errors.empty()) text << "no errors\n";
        for (const auto& [kind, count] : errors) text << "error: " << kind << ": " << count << " times\n";
        return text.str();
    }

    std::string as_json() {
        // The kinds of error are our own words and strerror's: nothing has to be escaped.
        std::ostringstream text;
        text << "{\"requests\": " << requests << ", \"failed\": " << failed() << ", \"seconds\": " << seconds
             << ", \"per_second\": " << per_second() << ", \"p50_ms\": " << milliseconds(50)
             << ", \"p90_ms\": " << milliseconds(90) << ", \"p99_ms\": " << milliseconds(99)
             << ", \"max_ms\": " << milliseconds(100) << ", \"client_cpu_seconds\": " << cpu
             << ", \"errors\": {";
        for (const char* comma = ""; const auto& [kind, count] : errors) {
            text << comma << '"' << kind << "\": " << count;
            comma = ", ";
        }
        text << "}}\n";
        return text.str();
    }

 private:
    double milliseconds(double percent) {
        return std::chrono::duration<double, std::milli>{served.percentile(percent)}.count();
    }
};
