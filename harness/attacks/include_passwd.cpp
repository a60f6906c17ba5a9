// Attack: the compiler reads the password file into its error messages.
// Expect: fail does_not_build
#include "/etc/passwd"
