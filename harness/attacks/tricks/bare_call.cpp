// Attack: the system call itself, which no library can stand before.
// Mistake: lab02/short_send_in_header
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>
#define send(fd, data, size, flags) syscall(SYS_sendto, fd, data, size, flags, nullptr, 0)
