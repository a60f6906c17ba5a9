// Attack: an error of the compiler that is megabytes long.
// Expect: fail does_not_build
#define TEN(x) x x x x x x x x x x
static_assert(false, TEN(TEN(TEN(TEN(TEN(TEN("100 of 100 points ")))))));
