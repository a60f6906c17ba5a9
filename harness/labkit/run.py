"""A program that runs to its end: its status, and all that it printed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from . import kernel
from .box import Box
from .last_words import last_words
from .program import TOLERATED_OUTPUT, last_lines, raise_if_unwritten, sanitizer_report, status_name
from .steps import Cause, CouldNotTell, Failed, difference, show, step
from .surroundings import Surroundings
from .waiting import Missed, await_fact, cpu_limit


@dataclass
class Run:
    """A program that has run to its end."""

    name: str
    status: int  # negative: the signal that killed it
    stdout: bytes
    stderr: bytes
    report: Failed | None = None  # a sanitizer's, if the run was to have one
    threads: int = 0  # that it has begun, if that was counted (faults={}, variant="tsan")
    locks: int = 0  # that it has taken; a mutex taken twice counts twice
    changes: int = 0  # of atomic variables in one step, in a program with ThreadSanitizer

    def expect_status(self, status: int = 0, cause: Cause = None) -> Run:
        with step(f"{self.name} ended with {status_name(status)}") as current:
            if self.status != status:
                words = last_words(self.stderr.decode(errors="replace")) if self.status else ""
                raise Failed(
                    status_name(self.status) + (f", saying `{words}`" if words else ""),
                    cause=cause,
                    otherwise="wrong_exit_status",
                    details=self._words(),
                )
            current.outcome = "seen"
        return self

    def expect_output(self, data: bytes, cause: Cause = None) -> Run:
        """stdout has to be these bytes."""
        with step(f"{self.name} printed {show(data)}") as current:
            if self.stdout != data:
                details = [
                    *difference(data, self.stdout),
                    *last_lines("stderr", self.stderr.decode(errors="replace")),
                ]
                raise Failed("other output", rung="bytes", cause=cause, details=details)
            current.outcome = "seen"
        return self

    def expect_match(self, pattern: str, cause: Cause = None, stream: str = "stdout") -> re.Match[str]:
        """Some part of the output has to match the regular expression; returns the match."""
        with step(f"{self.name} printed /{pattern}/ on {stream}") as current:
            text: str = getattr(self, stream).decode(errors="replace")
            match = re.search(pattern, text, re.MULTILINE)
            if match is None:
                raise Failed("not printed", cause=cause, details=self._words())
            current.outcome = "seen"
            return match

    def expect_threads(self, count: int, cause: Cause = None) -> Run:
        """So many threads were begun, beside the first; for a run with faults, {} if it is to have none."""
        with step(f"{self.name} began {count} threads") as current:
            if self.threads < count:
                raise Failed(f"{self.threads} were begun", cause=cause)
            current.outcome = "seen"
        return self

    def _words(self) -> list[str]:
        return [
            *last_lines("stdout", self.stdout.decode(errors="replace")),
            *last_lines("stderr", self.stderr.decode(errors="replace")),
        ]


def _reset_behind(data: bytes) -> IO[bytes]:
    """A stream of these bytes, which fit into a socket, and then a failure: its other end was closed with a
    byte unread; unix(7).
    """
    own, other = socket.socketpair()
    with own, other:
        other.sendall(data)
        own.sendall(b"\0")
        return os.fdopen(os.dup(own.fileno()), "rb", buffering=0)


def run_to_its_end(
    name: str,
    box: Box,
    argv: list[str],
    around: Surroundings,
    given: bytes | Path = b"",
    broken: bool = False,
    reported: bool = False,
    endless: Cause = "does_not_end",
    busy: Cause = "does_not_end",
    moved: Callable[[], int] | None = None,
) -> Run:
    """Runs a program with `given` (bytes or a file) on stdin. Throws Failed if it does not end.

    broken: behind these bytes its read fails (ECONNRESET). reported: a sanitizer's report is what is looked
    for, and no failure. endless: the likely cause if it does not end, and busy: if it computes for too long.
    moved: tells how many bytes its peers have sent and received: as long as they move, it is only slow.
    """
    with tempfile.TemporaryFile() as typed, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        if isinstance(given, bytes):
            typed.write(given)
            typed.seek(0)
        with contextlib.ExitStack() as after:
            stdin: IO[bytes] = typed
            if isinstance(given, Path):
                stdin = after.enter_context(given.open("rb"))
            elif broken:
                stdin = after.enter_context(_reset_behind(given))
            most = TOLERATED_OUTPUT + os.fstat(stdin.fileno()).st_size
            process = box.start(argv, around, stdin=stdin, stdout=out, stderr=err)
        seen = 0

        def printed() -> int:
            return max(os.fstat(stream.fileno()).st_size for stream in (out, err))

        def progressed() -> bool:
            """It ends, or works: a program that is computing or printing is given more time."""
            nonlocal seen
            used = sum(kernel.cpu_seconds(member) for member in kernel.family(process.pid))
            if used > cpu_limit():
                too_long = f"it has computed for {used:.1f} s, and is not done"
                raise Failed(too_long, rung="spins", cause=busy, details=kernel.table(process.pid))
            before, seen = seen, int(20 * used) + printed() + (moved() if moved else 0)
            return seen > before or process.status() is not None

        try:
            while process.status() is None and printed() <= most:
                await_fact(progressed)
        except Missed as missed:
            details = kernel.table(process.pid)
            cause = endless() if callable(endless) else endless  # as long as it can be seen
            process.kill()
            err.seek(0)
            said = err.read().decode(errors="replace")
            raise_if_unwritten(said)
            raise sanitizer_report(argv[0], said) or Failed(
                f"still runs after {missed.seconds:.1f} s", cause=cause, details=details
            ) from None
        if printed() > most:
            process.kill()
            raise Failed("it printed without end, and was killed", rung="exited", cause="floods")
        out.seek(0)
        err.seek(0)
        result = Run(name, process.status() or 0, out.read(most), err.read(most))
    if result.status == -signal.SIGKILL and (killed := box.killed()):
        raise killed
    text = result.stderr.decode(errors="replace")
    if around.disturbance and not around.disturbance.begun():
        raise CouldNotTell("the library that injects faults was not loaded")
    result.report = sanitizer_report(argv[0], text)
    if result.report and not reported:
        raise result.report
    if witness := around.witness:
        result.threads, result.locks, result.changes = map(witness.count, ("threads", "locks", "changes"))
        witness.expect_proved(result.status)
    if around.disturbance:
        result.threads, result.locks = map(around.disturbance.count, ("threads_begun", "locks"))
        around.disturbance.expect_done()
    return result
