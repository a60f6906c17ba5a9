"""Holds a process between any two of its instructions, or at each of its system calls, so that another
process or a signal can come between: races by construction; ptrace(2).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import os
import signal
import struct
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

from . import calls, kernel, stillness
from .processes import TRACER
from .steps import CouldNotTell, Failed

Result = TypeVar("Result")

_SINGLESTEP, _DETACH, _SYSCALL, _SEIZE, _INTERRUPT, _GET_SYSCALL_INFO = 9, 17, 24, 0x4206, 0x4207, 0x420E
_TRACESYSGOOD = 1  # PTRACE_O_…: a stop at a system call is told from SIGTRAP
_AT_CALL = signal.SIGTRAP | 0x80
_ENTRY = 1  # PTRACE_SYSCALL_INFO_…
_WALL = 0x40000000  # waitpid: also a traced process that is no child of this one

_MOST_SECONDS = 20.0  # from one system call to the next

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Held:
    """A process that stands still, and goes on by one instruction at a time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._call = ""  # the system call that it is in
        # ptrace(2) wants each request from the thread that began.
        self._thread = concurrent.futures.ThreadPoolExecutor(1)
        self._in_thread(self._seize)
        self.halt()

    def _in_thread(self, action: Callable[[], Result]) -> Result:
        return self._thread.submit(action).result()

    def _seize(self) -> None:
        with kernel.with_their_rights(self.pid):
            self._ask(_SEIZE, _TRACESYSGOOD)

    def _ask(self, request: int, data: int = 0) -> None:
        if _libc.ptrace(request, self.pid, None, data) == -1:
            number = ctypes.get_errno()
            raise OSError(number, f"ptrace: {os.strerror(number)}")

    def _stopped(self, waiting: int) -> int | None:
        """The signal with which it has stopped; None if it has not (yet)."""
        found, status = os.waitpid(self.pid, _WALL | waiting)
        if found and not os.WIFSTOPPED(status):
            raise Failed("the process has ended", rung="exited", cause="crashed")
        return os.WSTOPSIG(status) if found else None

    def halt(self) -> None:
        """Makes it stand still, also in a system call, which begins anew when it goes on."""
        self._in_thread(self._halt)

    def _halt(self) -> None:
        self._ask(_INTERRUPT)
        self._stopped(0)

    def forward(self, instructions: int = 1) -> bool:
        """Lets it run so many instructions; False if one of them is a system call in which it now sleeps."""
        return self._in_thread(lambda: self._forward(instructions))

    def _forward(self, instructions: int) -> bool:
        for _ in range(instructions):
            self._ask(_SINGLESTEP)
            asked = 0
            while self._stopped(os.WNOHANG) is None:
                os.sched_yield()
                asked += 1
                if asked > 100 and kernel.state(self.pid) == "S":
                    self._halt()
                    return False
        return True

    def to_next_call(self) -> str | None:
        """Lets it run to the next begin or end of a system call, and returns it: "before read(0)", "after
        accept". None if it sleeps in a call that only others can end. Throws CouldNotTell if none comes.
        """
        return self._in_thread(self._to_next_call)

    def _to_next_call(self) -> str | None:
        self._ask(_SYSCALL)
        end = time.monotonic() + _MOST_SECONDS
        asked = 0
        while (stopped := self._stopped(os.WNOHANG)) != _AT_CALL:
            if stopped is not None:  # about to get a signal, which is its own
                self._ask(_SYSCALL, 0 if stopped == signal.SIGTRAP else stopped)
            asked += 1
            if asked > 100 and kernel.state(self.pid) == "S" and stillness.waits_for_ever(self.pid, self.pid):
                self._halt()
                return None
            if time.monotonic() > end:
                raise CouldNotTell(f"the process makes no system call in {_MOST_SECONDS} s")
            time.sleep(0 if asked < 100 else 0.001)
        info = ctypes.create_string_buffer(88)  # struct ptrace_syscall_info
        _libc.ptrace(_GET_SYSCALL_INFO, self.pid, len(info), ctypes.addressof(info))
        if info.raw[0] != _ENTRY:
            return f"after {self._call}"
        number, first = struct.unpack_from("=QQ", info.raw, 24)
        self._call = calls.names().get(number, f"system call {number}")
        if self._call in ("read", "write", "close"):
            self._call += f"({first})"
        return f"before {self._call}"

    def kill(self) -> None:
        """Kills it where it stands (SIGKILL)."""
        os.kill(self.pid, signal.SIGKILL)
        with contextlib.suppress(Failed):
            self._stopped(0)

    def release(self) -> None:
        """Lets it go on by itself."""
        with contextlib.suppress(OSError):
            self._in_thread(lambda: self._ask(_DETACH))
        self._thread.shutdown()


@contextlib.contextmanager
def holding(pid: int) -> Iterator[Held]:
    """Holds the process while the block runs. Nobody but the harness can let it go on.

    Throws Failed if it has a tracer of its own, so that nobody else can hold it; CouldNotTell if the system
    forbids it.
    """
    try:
        held = Held(pid)
    except OSError as error:
        if error.errno in (errno.ESRCH, errno.ENOENT):
            raise Failed("the process has ended", rung="exited", cause="crashed") from None
        if (tracer := kernel.tracer(pid)) and kernel.executable(tracer) != TRACER:
            raise Failed(f"process {tracer} traces it: nobody else can hold it", cause="hides") from None
        raise CouldNotTell(f"the system does not let the harness hold a process: {error.strerror}") from None
    try:
        yield held
    finally:
        held.release()
