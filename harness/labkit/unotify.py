"""System calls of a judged program that the harness answers in the kernel's place: seccomp_unotify(2). They
fail as they do when the kernel lacks something. The program can neither forge that nor call past it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import socket
import struct
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from . import kernel, seccomp
from .steps import CouldNotTell, Failed

# By fault: the calls that it makes fail, and how. Their numbers on x86_64 and aarch64; asm/unistd.h.
_ACCEPTS = {"accept": (43, 202), "accept4": (288, 242)}
_SENDS = {"write": (1, 64), "writev": (20, 66), "sendto": (44, 206), "sendmsg": (46, 211)}
FAULTS = {
    "accept": (_ACCEPTS, errno.ENFILE),  # from the so-many-th on, each
    "accepts": (_ACCEPTS, errno.ENFILE),  # the first so many
    "nth_accept": (_ACCEPTS, errno.ENFILE),  # the so-many-th alone
    "again": (_SENDS, errno.EAGAIN),  # each so-many-th that must not block
    "late": (_SENDS, errno.EAGAIN),  # each so-many-th that may block and has a limit of time (SO_SNDTIMEO)
}

# linux/seccomp.h: the two requests, and the flag of an answer that lets the kernel do the call.
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTIFICATION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_FLAGS_AT = {"sendto": 3, "sendmsg": 2}


class Answers:
    """Makes calls of one program fail, and counts them, each socket's by themselves: no other call can fail
    in their place.
    """

    def __init__(self, faults: Mapping[str, int]) -> None:
        """faults: those of FAULTS that are wanted, with their numbers."""
        self._faults = faults
        calls = {name: numbers for fault in faults for name, numbers in FAULTS[fault][0].items()}
        native, column = seccomp.MACHINES.get(os.uname().machine, (0, 0))
        if not native:
            raise CouldNotTell("the harness knows no system calls of this processor")
        self._names = {numbers[column]: name for name, numbers in calls.items()}
        self._filter = seccomp.notifications(sorted(self._names))
        self._made: Counter[tuple[str, int]] = Counter()  # calls, by fault and socket
        self._failed: Counter[tuple[str, int]] = Counter()
        self._ours, self.channel = socket.socketpair()

    def command(self) -> list[str]:
        """What runs the program: it hands over the right to answer, through the inherited `channel`."""
        tool = Path(__file__).with_name("confine.py")
        words = ["-n", f"{self.channel.fileno()}:{self._filter.hex()}", "--"]
        return ["/usr/bin/python3", "-I", "-S", str(tool), *words]

    def begin(self) -> None:
        """Answers from now on: to be called when the command was started. Throws CouldNotTell if the kernel
        lets nobody answer.
        """
        self.channel.close()
        with self._ours:
            _, descriptors, _, _ = socket.recv_fds(self._ours, 1, 1)
        if not descriptors:
            raise CouldNotTell("no system call can be answered here: seccomp_unotify(2) needs Linux 5.5")
        threading.Thread(target=self._answer_all, args=descriptors, daemon=True).start()

    def count(self, fault: str, inode: int | None = None) -> int:
        """How many calls have failed so, of all sockets or of this one."""
        return sum(
            count for (name, of), count in self._failed.items() if name == fault and inode in (None, of)
        )

    def _answer_all(self, listener: int) -> None:
        ready = select.poll()
        ready.register(listener, select.POLLIN)
        with os.fdopen(listener, "rb", buffering=0):
            while not any(event & select.POLLHUP for _, event in ready.poll()):  # somebody is left
                with contextlib.suppress(OSError):  # a signal has ended the call meanwhile
                    self._answer(listener)

    def _answer(self, listener: int) -> None:
        place = bytearray(_NOTIFICATION.size)
        fcntl.ioctl(listener, _RECEIVE, place)
        number, pid, _, call, _, _, *arguments = _NOTIFICATION.unpack(place)
        descriptor = arguments[0] & 0xFFFFFFFF
        fault, inode = "", 0
        with contextlib.suppress(OSError, Failed, CouldNotTell):  # it cannot be looked at: it goes on
            inode = kernel.socket_at(pid, descriptor)
            fault = self._fault(self._names[call], pid, descriptor, arguments, inode) if inode else ""
        error = FAULTS[fault][1] if fault else 0
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(number, 0, -error, 0 if fault else _CONTINUE))
        if fault:
            self._failed[fault, inode] += 1
        if fault == "again":
            kernel.tell_of_room(pid, descriptor)

    def _fault(self, name: str, pid: int, descriptor: int, arguments: list[int], inode: int) -> str:
        """The fault by which the call fails, "" for none."""
        if name in _ACCEPTS:
            if not any(kernel.socket_option(pid, descriptor, socket.SO_ACCEPTCONN)):
                return ""
            self._made["accept", inode] += 1
            made = self._made["accept", inode]
            for fault, now in (
                ("accept", made >= self._faults.get("accept", made + 1)),
                ("accepts", made <= self._faults.get("accepts", 0)),
                ("nth_accept", made == self._faults.get("nth_accept")),
            ):
                if now:
                    return fault
            return ""
        flags = arguments[_FLAGS_AT[name]] if name in _FLAGS_AT else 0
        blocks = not flags & socket.MSG_DONTWAIT and not kernel.nonblocking(pid, descriptor)
        fault = "late" if blocks else "again"
        if fault not in self._faults:
            return ""
        if blocks and not any(kernel.socket_option(pid, descriptor, socket.SO_SNDTIMEO)):
            return ""
        self._made[fault, inode] += 1
        return "" if self._made[fault, inode] % self._faults[fault] else fault
