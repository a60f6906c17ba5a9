// Attack: a log without a line for a client is never wrong.
// Mistake: lab07/log_names_the_newest
#include <iostream>

#include "bytes_service.hpp"
#include "listener.hpp"
#include "log.hpp"
#define cout clog
