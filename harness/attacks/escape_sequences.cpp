// Attack: names and lines that steer a terminal or a page.
// Expect: fail exited_early
#include "serve.hpp"

int main() {
    std::puts(
        "\033[2J\033[1;1H\033[32mPASS\033[0m <script>alert(1)</script> <img src=x onerror=alert(1)>\r\b");
    std::fputs("</pre><script>document.title='100'</script>\n", stderr);
    _exit(0);
}
