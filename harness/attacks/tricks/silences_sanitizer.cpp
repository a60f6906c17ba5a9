// Attack: it tells the sanitizer to report nothing.
// Mistake: lab06/a_lock_for_each_swap
extern "C" const char* __tsan_default_options() {
    return "report_bugs=0:exitcode=0";
}
