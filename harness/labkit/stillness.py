"""Tells when nothing can happen any more: every thread of the programs sleeps in a call that only others can
end, no timer runs, and nothing is on its way between sockets. Then a deadline need not be waited for;
proc(5).

It never guesses: what cannot be read, or is not known to last for ever, may still come to something.
"""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import sys
import weakref
from pathlib import Path
from typing import Protocol

from . import calls, kernel, sock_diag

_MOST_THREADS, _MOST_SOCKETS = 300, 3000  # beyond, the look itself would take longer than the wait

_FOREVER = 0xFFFFFFFF  # -1, as an int
# System calls that wait: the argument that limits how long, and its value that does not; None where there is
# none.
_WAITING: dict[str, tuple[int, int] | None] = {
    "read": None,
    "write": None,
    "readv": None,
    "writev": None,
    "accept": None,
    "accept4": None,
    "sendto": None,
    "recvfrom": None,
    "sendmsg": None,
    "recvmsg": None,
    "wait4": None,
    "waitid": None,
    "semop": None,
    "flock": None,
    "pause": None,
    "rt_sigsuspend": None,
    "rt_sigtimedwait": (2, 0),
    "futex": (3, 0),
    "poll": (2, _FOREVER),
    "ppoll": (2, 0),
    "select": (4, 0),
    "pselect6": (4, 0),
    "epoll_wait": (3, _FOREVER),
    "epoll_pwait": (3, _FOREVER),
}
# Those that may be on a socket, and the option of its that limits how long; socket(7).
_RECEIVING = dict.fromkeys(("read", "readv", "accept", "accept4", "recvfrom", "recvmsg"), socket.SO_RCVTIMEO)
_SENDING = dict.fromkeys(("write", "writev", "sendto", "sendmsg"), socket.SO_SNDTIMEO)
_OF_SOCKETS = _RECEIVING | _SENDING

Look = frozenset[tuple[int, str]]


class Reader(Protocol):
    """Somebody who takes what a program writes: nothing is certain before they have all of it."""

    def complete(self) -> bool:
        ...


readers: weakref.WeakSet[Reader] = weakref.WeakSet()


def look(at_least: float = math.inf, on_the_way: bool = False) -> Look | None:
    """What all threads of this process's descendants have come to, if nothing can happen any more; else None.

    Two equal looks, one after the other, mean that none of them has run between the two. at_least: seconds; a
    time limit that is as long is as good as none. on_the_way: something may be between the sockets still.
    """
    try:
        programs = kernel.family(os.getpid())[1:]
        threads = [(pid, thread) for pid in programs for thread in kernel.thread_ids(pid)]
        if len(threads) > _MOST_THREADS or not all(
            waits_for_ever(pid, thread, at_least) for pid, thread in threads
        ):
            return None
        if any(_has_timer(pid) for pid in programs):
            return None
        if not on_the_way and _on_the_way([os.getpid(), *programs]):
            return None
        if not all(reader.complete() for reader in readers):
            return None
        return frozenset((thread, _switches(pid, thread)) for pid, thread in threads)
    except (OSError, ValueError, IndexError):  # it is gone, or may not be looked at
        return None


def waits_for_ever(pid: int, thread: int, at_least: float = math.inf) -> bool:
    """Whether the thread has ended, is stopped, or sleeps in a call that has no time limit, or one of so many
    seconds.
    """
    state = kernel.state(thread)
    if state in ("Z", "T"):
        return True
    name, arguments = _call(pid, thread)
    if state != "S" or name not in _WAITING:
        return False
    limit = _WAITING[name]
    if limit is not None and arguments[limit[0]] & (_FOREVER if limit[1] else ~0) != limit[1]:
        # The others' limit is not in the register. Of an int only half of it counts.
        milliseconds = arguments[limit[0]] & _FOREVER if limit[1] else 0
        if milliseconds < at_least * 1000:
            return False
    return name not in _OF_SOCKETS or not _times_out(pid, arguments[0] & _FOREVER, _OF_SOCKETS[name])


def _call(pid: int, thread: int) -> tuple[str, list[int]]:
    """The system call that the thread is in, and its arguments; "" if it is in none."""
    words = kernel.call(pid, thread)
    if len(words) < 9:
        return "", []
    return calls.names().get(int(words[0]), ""), [int(word, 16) for word in words[1:7]]


def selected(pid: int) -> set[int]:
    """The descriptors that the process's main thread, asleep in select, waits to read from."""
    name, arguments = _call(pid, pid)
    if name not in ("select", "pselect6"):
        return set()
    count, place = arguments[0] & _FOREVER, arguments[1]
    bits = int.from_bytes(kernel.bytes_at(pid, place, 8 * (count // 64 + 1)), sys.byteorder)
    return {number for number in range(count) if bits >> number & 1}


def gives_up(pid: int) -> bool:
    """Whether a thread of the process sleeps in a call that SO_RCVTIMEO or SO_SNDTIMEO ends."""
    for thread in kernel.thread_ids(pid):
        name, arguments = _call(pid, thread)
        if name in _OF_SOCKETS:
            with contextlib.suppress(OSError):  # it is gone, or may not be looked at
                if _times_out(pid, arguments[0] & _FOREVER, _OF_SOCKETS[name]):
                    return True
    return False


def _times_out(pid: int, descriptor: int, option: int) -> bool:
    """Whether a socket of the process has this time limit, SO_RCVTIMEO or SO_SNDTIMEO."""
    return any(kernel.socket_option(pid, descriptor, option))


def _has_timer(pid: int) -> bool:
    """Whether a timer of the process may run: one of timer_create(2), timerfd_create(2) or, perhaps,
    setitimer(2).
    """
    if kernel.state(pid) in ("", "Z"):
        return False
    if signal.SIGALRM in kernel.signals(pid, "caught"):
        return True
    if Path(f"/proc/{pid}/timers").read_text():
        return True
    return any(name == "anon_inode:[timerfd]" for name in kernel.descriptors(pid).values())


def _on_the_way(members: list[int]) -> bool:
    """Whether the kernel has still to do something for one of the connections that the processes have."""
    inodes = kernel.socket_inodes(members)
    if len(inodes) > _MOST_SOCKETS:
        return True
    rows = kernel.sockets("tcp", sock_diag.OPEN) + kernel.sockets("tcp6", sock_diag.OPEN)
    ports = {row.port for row in rows if row.inode in inodes}
    for row in rows:
        if {row.port, row.peer_port} & ports:
            unsent = row.unsent and row.status != "LISTEN"
            if unsent or row.timer in (1, 2, 4) or row.status in ("SYN_SENT", "SYN_RECV"):
                return True
    return False


def _switches(pid: int, thread: int) -> str:
    """How often the thread was switched to and away from."""
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text().splitlines()
    return " ".join(line.split()[1] for line in status if "_ctxt_switches" in line)
