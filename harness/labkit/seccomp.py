"""The system calls that a judged program is refused, as if the kernel had none of that name; seccomp(2).

Refused is what no namespace contains and no limit counts: memory that no process need map, namespaces of its
own, what works on other processes, and what is kept by the kernel when all processes have ended. The labs
need none of it. LeakSanitizer does need ptrace(2); ASAN_OPTIONS in lab.py does without leaks.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterable, Sequence

# The numbers on x86_64 and aarch64; asm/unistd.h.
REFUSED = {
    # memory that no process maps
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "io_setup": (206, 0),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    # namespaces, mounts; a flag in the memory that clone3 points to is out of a filter's sight, and libc asks
    # clone then
    "unshare": (272, 97),
    "setns": (308, 268),
    "clone3": (435, 435),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "name_to_handle_at": (303, 264),
    "open_by_handle_at": (304, 265),
    # other processes: the box's own first one, the harness's helpers
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "userfaultfd": (323, 282),
    # the machine
    "kexec_load": (246, 104),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "quotactl": (179, 60),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "syslog": (103, 116),
    "acct": (163, 89),
}
CLONE, PRCTL, FCNTL, SOCKET, SOCKETPAIR = (56, 220), (157, 167), (72, 25), (41, 198), (53, 199)
# linux/sched.h.
NEW_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
PR_SET_DUMPABLE, F_SETPIPE_SZ = 4, 1031
USUAL_PIPE = 65536  # bytes; a smaller one, as self_pipe has it, is no harm
# AF_UNSPEC, AF_UNIX, AF_INET, AF_INET6, AF_NETLINK (getaddrinfo): no AF_VSOCK, no AF_ALG.
SOCKETS = (
    0,
    1,
    2,
    10,
    16,
)

MACHINES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}  # linux/audit.h, and the column above

_LOAD, _EQUAL, _MORE, _BITS, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16
_ALLOW, _ASK, _NO_SUCH_CALL = 0x7FFF0000, 0x7FC00000, 0x00050000 | errno.ENOSYS
Step = tuple[int, int, int, int]


def refusals(names: Iterable[str] = REFUSED) -> bytes:
    """The filter for this processor, as bpf instructions; empty for one that is not listed.

    names: of the calls that are refused whatever their arguments.
    """
    if os.uname().machine not in MACHINES:
        return b""
    native, column = MACHINES[os.uname().machine]
    # X86_64 has a second set of numbers; another processor's numbers mean other calls altogether.
    x32 = 0x40000000
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, native),
        (_RETURN, 0, 0, _NO_SUCH_CALL),
        (_LOAD, 0, 0, _NUMBER),
        (_BITS, 0, 1, x32),
        (_RETURN, 0, 0, _NO_SUCH_CALL),
    ]
    for name in names:
        steps += [(_EQUAL, 0, 1, REFUSED[name][column]), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    steps += _if_called(
        CLONE[column], [_argument(0), (_BITS, 0, 1, NEW_NAMESPACES), (_RETURN, 0, 0, _NO_SUCH_CALL)]
    )
    steps += _if_called(
        FCNTL[column],
        [
            _argument(1),
            (_EQUAL, 0, 3, F_SETPIPE_SZ),
            _argument(2),
            (_MORE, 0, 1, USUAL_PIPE),
            (_RETURN, 0, 0, _NO_SUCH_CALL),
        ],
    )
    steps += _if_called(
        PRCTL[column],
        [
            _argument(0),
            (_EQUAL, 0, 3, PR_SET_DUMPABLE),
            _argument(1),
            (_EQUAL, 0, 1, 0),
            (_RETURN, 0, 0, _NO_SUCH_CALL),
        ],
    )
    known = [(_EQUAL, len(SOCKETS) - place, 0, domain) for place, domain in enumerate(SOCKETS)]
    for call in (SOCKET, SOCKETPAIR):
        steps += _if_called(call[column], [_argument(0), *known, (_RETURN, 0, 0, _NO_SUCH_CALL)])
    steps.append((_RETURN, 0, 0, _ALLOW))
    return _packed(steps)


def notifications(numbers: Iterable[int]) -> bytes:
    """The filter by which another process answers the calls of these numbers; seccomp_unotify(2)."""
    native, _ = MACHINES[os.uname().machine]
    steps: list[Step] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, native),
        (_RETURN, 0, 0, _ALLOW),
        (_LOAD, 0, 0, _NUMBER),
    ]
    for number in numbers:
        steps += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _ASK)]
    steps.append((_RETURN, 0, 0, _ALLOW))
    return _packed(steps)


def _packed(steps: Iterable[Step]) -> bytes:
    """The steps as struct sock_filter of linux/filter.h, one behind the other."""
    return b"".join(struct.pack("=HBBI", *one) for one in steps)


def _argument(place: int) -> Step:
    """Loads the lower half of an argument; all that is looked at is no wider than an int."""
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * place)


def _if_called(number: int, steps: Sequence[Step]) -> list[Step]:
    """The steps for one system call, and what looks at the number again behind them."""
    return [(_EQUAL, 0, len(steps) + 1, number), *steps, (_LOAD, 0, 0, _NUMBER)]
