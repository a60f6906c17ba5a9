// Attack: a program file of many gigabytes.
// Expect: fail does_not_build
char array[16L << 30] = {1};
int main() {
    return array[1];
}
