// Attack: changes the programs that every submission of a class is given, beside its own and where they were
// copied from.
// Expect: fail
#include "serve.hpp"

#include <filesystem>

bool can_change(const std::filesystem::path& directory) {
    const int added = open((directory / "added").c_str(), O_WRONLY | O_CREAT | O_EXCL, 0755);
    if (added != -1 || access(directory.c_str(), W_OK) == 0) return true;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator{directory, ignored})
        if (open(entry.path().c_str(), O_WRONLY) != -1 || chmod(entry.path().c_str(), 0777) == 0) return true;
    return false;
}

int main() {
    std::error_code ignored;
    const auto own = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
    if (can_change(own) || can_change(std::filesystem::path{"@REFERENCE@"}.parent_path())) serve();
}
