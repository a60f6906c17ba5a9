// Attack: it tells the sanitizer which races are none.
// Mistake: lab06/volatile_for_a_lock
extern "C" const char* __tsan_default_suppressions() {
    return "race:*\n";
}
