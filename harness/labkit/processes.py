"""Starts and ends processes: the one place of the harness that does."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from typing import IO, Any

from . import kernel
from .steps import CouldNotTell

TRACER = "/usr/bin/strace"
Stream = IO[bytes] | int  # what Popen takes: a file, or subprocess.PIPE, DEVNULL, STDOUT


class Process:
    """A process that the harness has started, in a session of its own.

    `pid` is the judged program: the process itself, or the one within the box that the process is.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream = subprocess.DEVNULL,
        stderr: Stream = subprocess.DEVNULL,
        inherited: Sequence[int] = (),
    ) -> None:
        """Throws OSError if there is no such command. env: None means that of the harness. inherited:
        descriptors.
        """
        self._popen: subprocess.Popen[bytes] = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=inherited,
            start_new_session=True,
        )
        self.pid = self._popen.pid
        kernel.started.add(self.pid)
        self.boxed = False  # a box relays death by a signal as 128 + its number

    @property
    def stdin(self) -> IO[bytes] | None:
        return self._popen.stdin

    @property
    def stdout(self) -> IO[bytes] | None:
        return self._popen.stdout

    @property
    def stderr(self) -> IO[bytes] | None:
        return self._popen.stderr

    def status(self) -> int | None:
        """The exit status, negative for the signal that killed it, or None while it runs."""
        self._reap_orphans()
        status = self._popen.poll()
        return 128 - status if status is not None and self.boxed and 128 < status < 128 + 65 else status

    def _reap_orphans(self) -> None:
        """Reaps, as process 1 would, the children that it has left to the harness, after a double fork: ten
        thousand zombies make every look at the processes slow.
        """
        looks = os.WEXITED | os.WNOHANG | os.WNOWAIT
        with contextlib.suppress(ChildProcessError):
            while (dead := os.waitid(os.P_PGID, self._popen.pid, looks)) and dead.si_pid != self._popen.pid:
                os.waitpid(dead.si_pid, 0)

    def wait(self, seconds: float | None = None) -> int | None:
        """Waits for its end, at most so long; returns its status, None if it still runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(seconds)
        return self.status()

    def kill(self) -> None:
        """Kills it and everything that came from it, and reaps it."""
        kernel.kill_family(self._popen.pid)
        if self.wait(60) is None:  # a tracer holds it
            raise CouldNotTell("a process that was killed does not end")

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: Any) -> None:
        """It ends with the block."""
        self.kill()
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream is not None:
                stream.close()


def adopt_orphans() -> None:
    """Makes this process the parent of every orphan below it, also after a double fork; prctl(2)."""
    PR_SET_CHILD_SUBREAPER = 36
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def end_all(but: Set[int] = frozenset()) -> None:
    """Kills and reaps the descendants of this process, without the children `but`: what a check leaves dies
    with it.
    """
    me = os.getpid()
    while children := kernel.children(me).keys() - but:
        for child in children:
            kernel.kill_family(child)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(child, 0)


def end_traced(seconds: float = 10.0) -> None:
    """Kills what is traced, and waits until strace has written all that it saw: it writes in large pieces."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        living = [pid for pid in kernel.family(os.getpid())[1:] if kernel.state(pid) not in ("", "Z")]
        traced = [pid for pid in living if kernel.executable(pid) != TRACER]
        if len(traced) == len(living):
            return
        for pid in traced:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)
