// Attack: the sanitized program becomes the plain one, which lies beside it.
// Mistake: lab06/a_lock_for_each_swap
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

static const int twin = [] {
    char path[4096];
    const ssize_t size = readlink("/proc/self/exe", path, sizeof path);
    std::string name{path, static_cast<std::size_t>(size > 0 ? size : 0)};
    const std::size_t place = name.find("/tsan/");
    if (place == std::string::npos) return 0;
    name.erase(place, 5);
    extern char** environ;
    char arguments[4096] = "";
    if (FILE* const file = fopen("/proc/self/cmdline", "r")) {
        const std::size_t read = fread(arguments, 1, sizeof arguments - 1, file);
        char* words[64] = {};
        int count = 0;
        for (char* word = arguments; word < arguments + read && count < 63;
             word += std::char_traits<char>::length(word) + 1)
            words[count++] = word;
        execve(name.c_str(), words, environ);
    }
    return 1;
}();
