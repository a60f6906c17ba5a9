// Attack: the sanitizer is to leave out every function that returns nothing.
// Mistake: lab06/lock_ends_too_early
#include <err.h>

#include <exception>
#include <iostream>
#include <mutex>
#include <thread>
#include <utility>

#include "options.hpp"
#undef no_sanitize_thread
#define void __attribute__((no_sanitize_thread)) void
