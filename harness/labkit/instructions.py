"""Holds a process between any two of its instructions, so that another can come between: races by
construction; ptrace(2).
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import errno
import os
import signal
from collections.abc import Callable, Iterator
from typing import TypeVar

from . import kernel
from .steps import CouldNotTell, Failed

Result = TypeVar("Result")

_SINGLESTEP, _DETACH, _SEIZE, _INTERRUPT = 9, 17, 0x4206, 0x4207
_WALL = 0x40000000  # waitpid: a process that is traced, whoever's child it is

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Held:
    """A process that stands still, and goes on by one instruction at a time."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._thread = concurrent.futures.ThreadPoolExecutor(
            1
        )  # ptrace(2) wants each request from the thread that began
        self._in_thread(self._seize)
        self.halt()

    def _in_thread(self, action: Callable[[], Result]) -> Result:
        return self._thread.submit(action).result()

    def _seize(self) -> None:
        with kernel.with_their_rights():
            self._ask(_SEIZE)

    def _ask(self, request: int) -> None:
        if _libc.ptrace(request, self.pid, None, None) == -1:
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
        if error.errno == errno.ESRCH:
            raise Failed("the process has ended", rung="exited", cause="crashed") from None
        if (tracer := kernel.tracer(pid)) and kernel.executable(tracer) != "/usr/bin/strace":
            raise Failed(f"process {tracer} traces it: nobody else can hold it", cause="hides") from None
        raise CouldNotTell(f"the system does not let the harness hold a process: {error.strerror}") from None
    try:
        yield held
    finally:
        held.release()
