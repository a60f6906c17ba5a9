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
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from . import kernel, seccomp
from .processes import Process
from .steps import CouldNotTell, Failed

# By fault: the calls that it makes fail, and how. Their numbers on x86_64 and aarch64; asm/unistd.h.
_ACCEPTS = {"accept": (43, 202), "accept4": (288, 242)}
_SENDS = {"write": (1, 64), "writev": (20, 66), "sendto": (44, 206), "sendmsg": (46, 211)}
_CLONES = {"clone": (56, 220), "clone3": (435, 435)}
FAULTS = {
    "accept": (_ACCEPTS, errno.ENFILE),  # from the so-many-th on, each
    "accepts": (_ACCEPTS, errno.ENFILE),  # the first so many
    "nth_accept": (_ACCEPTS, errno.ENFILE),  # the so-many-th alone
    "again": (_SENDS, errno.EAGAIN),  # each so-many-th that must not block
    "late": (_SENDS, errno.EAGAIN),  # each so-many-th that may block and has a limit of time (SO_SNDTIMEO)
    "fork": (_CLONES, errno.EAGAIN),  # the first so many forks
    "nth_fork": (_CLONES, errno.ENOMEM),  # only the so-many-th fork of the first process
    "thread": (_CLONES, errno.EAGAIN),  # the first so many threads
    "threads": (_CLONES, errno.EAGAIN),  # all behind the so-many-th thread
}

# linux/seccomp.h: the two requests, and the flag of an answer that lets the kernel do the call.
_RECEIVE, _SEND, _CONTINUE = 0xC0502100, 0xC0182101, 1
_NOTIFICATION, _ANSWER = struct.Struct("=QIIiIQ6Q"), struct.Struct("=QqiI")
_FLAGS_AT = {"sendto": 3, "sendmsg": 2}
_CLONE_VM, _CLONE_THREAD = 0x100, 0x10000  # linux/sched.h
_INT = 0xFFFFFFFF  # of an argument's register only the lower half counts for an int


def possible() -> bool:
    """Whether the kernel lets the harness answer a call."""
    try:
        answers = Answers({"accept": 1})
        program = "/usr/bin/true"
        command, inherited = [*answers.command(program), program], [answers.channel.fileno()]
        with Process(command, stderr=subprocess.DEVNULL, inherited=inherited):
            answers.begin()
    except CouldNotTell:
        return False
    return True


class Answers:
    """Makes calls of one program fail, and counts them, each socket's by themselves: no other call can fail
    in their place.
    """

    def __init__(self, faults: Mapping[str, int], sanitized: bool = False) -> None:
        """faults: those of FAULTS that are wanted, with their numbers. sanitized: with the program's first
        thread ThreadSanitizer starts one of its own, before it.
        """
        self._faults = faults
        kernel.answers()
        calls = {name: numbers for fault in faults for name, numbers in FAULTS[fault][0].items()}
        native, column = seccomp.MACHINES.get(os.uname().machine, (0, 0))
        if not native:
            raise CouldNotTell("the harness knows no system calls of this processor")
        self._names = {numbers[column]: name for name, numbers in calls.items()}
        self._filter = seccomp.notifications(sorted(self._names))
        self._made: Counter[tuple[str, int]] = Counter()  # calls, by fault and socket
        self._made["thread", 0] = -1 if sanitized else 0
        self._first = 0  # the process that has forked first
        self._failed: Counter[tuple[str, int]] = Counter()
        self.may_block: set[int] = set()  # sockets with a send that may block
        self.asked = 0  # how many calls the program has made
        self._ours, self.channel = socket.socketpair()

    def command(self, program: str) -> list[str]:
        """What runs the program: it hands over the right to answer, through the inherited `channel`. Of what
        is run before the program, no fork fails.
        """
        self._program = program
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
        name, descriptor, fault, inode = self._names[call], arguments[0] & _INT, "", 0
        self.asked += 1
        with contextlib.suppress(OSError, Failed, CouldNotTell):  # it cannot be looked at: it goes on
            if name in _CLONES:
                fault = self._fault_of_clone(name, pid, arguments[0])
            elif inode := kernel.socket_at(pid, descriptor):
                if name in _ACCEPTS:
                    fault = self._fault_of_accept(pid, descriptor, inode)
                else:
                    flags = arguments[_FLAGS_AT[name]] if name in _FLAGS_AT else 0
                    fault = self._fault_of_send(pid, descriptor, inode, flags)
        error = FAULTS[fault][1] if fault else 0
        fcntl.ioctl(listener, _SEND, _ANSWER.pack(number, 0, -error, 0 if fault else _CONTINUE))
        if fault:
            self._failed[fault, inode] += 1
        if fault == "again":
            kernel.tell_of_room(pid, descriptor)

    def _fault_of_clone(self, name: str, pid: int, flags: int) -> str:
        """The fault by which the call fails, "" for none; so do the next two."""
        if name == "clone3":  # a pointer to a structure that begins with them
            flags = int.from_bytes(kernel.bytes_at(pid, flags, 8), sys.byteorder)
        if flags & _CLONE_THREAD:
            made = self._next("thread", 0)
            if 0 < made <= self._faults.get("thread", 0):
                return "thread"
            return "threads" if made > self._faults.get("threads", made) else ""
        if flags & _CLONE_VM or kernel.executable(pid) != self._program:
            return ""
        if self._next("fork", 0) <= self._faults.get("fork", 0):
            return "fork"
        self._first = self._first or pid  # nobody forks before it
        is_nth = pid == self._first and self._next("nth_fork", 0) == self._faults.get("nth_fork")
        return "nth_fork" if is_nth else ""

    def _fault_of_accept(self, pid: int, descriptor: int, inode: int) -> str:
        if not any(kernel.socket_option(pid, descriptor, socket.SO_ACCEPTCONN)):
            return ""
        made = self._next("accept", inode)
        if made >= self._faults.get("accept", made + 1):
            return "accept"
        if made <= self._faults.get("accepts", 0):
            return "accepts"
        return "nth_accept" if made == self._faults.get("nth_accept") else ""

    def _fault_of_send(self, pid: int, descriptor: int, inode: int, flags: int) -> str:
        blocks = not flags & socket.MSG_DONTWAIT and not kernel.nonblocking(pid, descriptor)
        fault = "late" if blocks else "again"
        if blocks:
            self.may_block.add(inode)
        if fault not in self._faults:
            return ""
        if blocks and not any(kernel.socket_option(pid, descriptor, socket.SO_SNDTIMEO)):
            return ""
        return "" if self._next(fault, inode) % self._faults[fault] else fault

    def _next(self, fault: str, inode: int) -> int:
        """Counts one more call that may fail so; returns which one it is."""
        self._made[fault, inode] += 1
        return self._made[fault, inode]
