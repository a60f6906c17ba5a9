"""Runs a command that reaches no file but those it is given, nor what it starts; landlock(7), seccomp(2).

    confine.py -s FILTER -n CHANNEL:FILTER -r READABLE … -w WRITABLE … -- COMMAND …

It is the first to be killed when the machine has no memory left. FILTER: instructions of seccomp.py in
hexadecimal digits; with -n, the process at the other end of the socket CHANNEL answers the calls. Without -r
there is no limit to files. Who may write to a directory may do everything in it. Exit status 125 if the
kernel cannot do it.
"""

import contextlib
import ctypes
import os
import signal
import socket
import stat
import struct
import sys

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same numbers on every processor
SECCOMP, SET_MODE_FILTER, NEW_LISTENER = {"x86_64": 317, "aarch64": 277}, 1, 1 << 3
VERSION, PATH_BENEATH, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 1, 1, 38, 22, 2
EXECUTE, READ_FILE, READ_DIR = 1 << 0, 1 << 2, 1 << 3
# Rights that make sense for one file: write, truncate, ioctl.
OF_FILES = EXECUTE | READ_FILE | 1 << 1 | 1 << 14 | 1 << 15
RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}  # how many rights a version of Landlock knows; since 5: 16

libc = ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """A system call that libc has no function for."""
    result: int = libc.syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "Landlock: " + os.strerror(ctypes.get_errno()))
    return result


def restrict(readable: list[str], writable: list[str]) -> None:
    """From here on this process, and all that come from it, have these rights to files and no other."""
    version = call(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION)
    every = (1 << RIGHTS.get(version, 16)) - 1
    ruleset = call(CREATE_RULESET, every.to_bytes(8, sys.byteorder), ctypes.c_size_t(8), 0)
    rules = [(path, EXECUTE | READ_FILE | READ_DIR) for path in readable] + [
        (path, every) for path in writable
    ]
    for path, rights in rules:
        try:
            place = os.open(path, os.O_PATH)
        except FileNotFoundError:
            continue
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        rule = (rights & every).to_bytes(8, sys.byteorder) + place.to_bytes(4, sys.byteorder)
        call(ADD_RULE, ruleset, PATH_BENEATH, rule, 0)
        os.close(place)
    no_new_privileges()
    call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def no_new_privileges() -> None:
    """No program that this process becomes has more rights than it: else it may restrict nothing."""
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


class Program(ctypes.Structure):
    """struct sock_fprog of linux/filter.h."""

    _fields_ = [("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p)]


def refuse_calls(instructions: bytes, keep_privileges: bool = False) -> None:
    """From here on the filter decides which system calls this process, and all that come from it, may make.

    keep_privileges: what it starts may still have more rights than it, as the programs of root have; needs
    CAP_SYS_ADMIN.
    """
    if not keep_privileges:
        no_new_privileges()
    program = Program(len(instructions) // 8, instructions)
    if libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "seccomp: " + os.strerror(ctypes.get_errno()))


def let_answer(channel: int, instructions: bytes) -> None:
    """From here on another process answers the system calls that the filter names: it gets the right to do
    so through the socket `channel`; seccomp_unotify(2).
    """
    no_new_privileges()
    program = Program(len(instructions) // 8, instructions)
    listener = call(SECCOMP[os.uname().machine], SET_MODE_FILTER, NEW_LISTENER, ctypes.byref(program))
    # By sendmmsg, since the filter may name sendmsg, and nobody answers yet.
    byte = ctypes.create_string_buffer(1)
    control = ctypes.create_string_buffer(
        struct.pack("@Niii4x", 20, socket.SOL_SOCKET, socket.SCM_RIGHTS, listener), 24
    )
    part = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(byte), 1), 16)
    message = struct.pack(
        "@PI4xPNPNi4xI4x", 0, 0, ctypes.addressof(part), 1, ctypes.addressof(control), 24, 0, 0
    )
    if libc.sendmmsg(channel, message, 1, 0) != 1:
        raise OSError(ctypes.get_errno(), "sendmmsg")
    os.close(channel)


if __name__ == "__main__":
    end = sys.argv.index("--")
    given = list(zip(sys.argv[1:end:2], sys.argv[2:end:2]))
    readable, writable, filters, answered = (
        [value for option, value in given if option == wanted] for wanted in ("-r", "-w", "-s", "-n")
    )
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # when the machine has no memory left, this is the first to die
    try:
        if readable:
            restrict(readable, writable)
        for instructions in filters:
            refuse_calls(bytes.fromhex(instructions))
        for one in answered:
            channel, instructions = one.split(":")
            let_answer(int(channel), bytes.fromhex(instructions))
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(125)
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would pass that on
        signal.signal(number, signal.SIG_DFL)
    os.execvp(sys.argv[end + 1], sys.argv[end + 1 :])
