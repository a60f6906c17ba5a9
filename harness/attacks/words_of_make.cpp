// Attack: a source whose compiler prints make's words, so that a directory seems to be what was not built.
// Expect: fail exited_early
asm(".print \"make: *** [Makefile:9: /] Error 1\"");

int main() {}
