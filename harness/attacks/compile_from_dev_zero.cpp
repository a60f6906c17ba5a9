// Attack: a header that never ends.
// Expect: fail does_not_build
#include "/dev/zero"
int main() {}
