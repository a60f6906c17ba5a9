// One direction of a bad network: what happens to its 1st, 2nd, 3rd … datagram, by script or by chance.
#pragma once

#include <cstddef>
#include <map>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

/// How many of a hundred datagrams are lost, passed on twice, passed on after the next one.
struct percentages {
    int drop = 0;
    int repeat = 0;
    int reorder = 0;
};

/// A script has a sign for each datagram:
///   .  it is passed on     x  it is lost     =  it is passed on twice
///   1 … 9  it is late: passed on after the next, the second … the ninth datagram behind it (so 1 swaps two)
/// After the end of the script the percentages decide.
class direction {
 public:
    /// Throws std::invalid_argument if the script has another sign.
    direction(std::string name, std::string script, percentages chances, unsigned seed)
        : name_{std::move(name)}, script_{std::move(script)}, chances_{chances}, generator_{seed} {
        const std::size_t wrong = script_.find_first_not_of(".x=123456789");
        if (wrong != script_.npos)
            throw std::invalid_argument{std::string{"no such fault: "} + script_[wrong]};
    }

    /// Applies the planned fault to the next datagram, and logs it to `log`. Returns the datagrams to send
    /// now, in this order: none, one or two copies of this one; then the late ones that waited for it.
    std::vector<std::string> pass(const std::string& datagram, std::ostream& log) {
        std::vector<std::string> sent;
        const std::size_t number = ++count_;
        const char fault = plan();
        log << name_ << ' ' << number << ": ";
        if (fault == 'x') {
            log << "lost\n";
        } else if (fault == '.') {
            log << "passed on\n";
            sent = {datagram};
        } else if (fault == '=') {
            log << "passed on twice\n";
            sent = {datagram, datagram};
        } else {
            const std::size_t behind = number + static_cast<std::size_t>(fault - '0');
            log << "late, waits for " << name_ << ' ' << behind << '\n';
            late_.insert({behind, {number, datagram}});
        }
        for (; !late_.empty() && late_.begin()->first == number; late_.erase(late_.begin())) {
            const auto& [late_number, late_datagram] = late_.begin()->second;
            log << name_ << ' ' << late_number << ": passed on late\n";
            sent.push_back(late_datagram);
        }
        return sent;
    }

 private:
    /// Returns the sign of the datagram that has just been counted.
    char plan() {
        if (count_ <= script_.size()) return script_[count_ - 1];
        const int chance = static_cast<int>(generator_() % 100);
        if (chance < chances_.drop) return 'x';
        if (chance < chances_.drop + chances_.repeat) return '=';
        if (chance < chances_.drop + chances_.repeat + chances_.reorder) return '1';
        return '.';
    }

    std::string name_;
    std::string script_;
    percentages chances_;
    std::mt19937 generator_;
    std::size_t count_ = 0;
    // The late datagrams with their numbers, by the number of the datagram that each waits for.
    std::multimap<std::size_t, std::pair<std::size_t, std::string>> late_;
};
