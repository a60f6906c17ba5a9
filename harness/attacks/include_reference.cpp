// Attack: the compiler reads the reference solution.
// Expect: fail does_not_build
#include "@REFERENCE@"
