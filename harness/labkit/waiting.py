"""Waiting for facts: one deadline, calibrated once and scaled with load, and a canary that vouches for it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from . import kernel, stillness
from .processes import Process
from .steps import Cause, CouldNotTell, Failed, step

Fact = TypeVar("Fact")

FIRST_LOOK, BETWEEN_LOOKS = 0.25, 0.05  # seconds, at the least
AT_ONCE = 0.03  # seconds in which most facts come about: until then nobody asks how busy the machine is
LOOP_SECONDS = 0.04  # that calibrate() needs for its loop there
CPU_SECONDS = 6.0  # that a program may compute in one step, on a machine such as this was written on

_base = 4.0  # seconds, at the least; calibrate() raises it on a slow machine
_slowness = 1.0  # of the machine's processor, by calibrate()
_patience = 1.0  # the repetition of a check that could not be told waits longer
_allowed = 0.0  # seconds that the contract lets the program rest


def calibrate() -> float:
    """Measures how long a known-good program takes here, and sets the deadline by it; returns the deadline in
    seconds.
    """
    global _base, _slowness
    _base = max(4.0, min(20.0, 15 * _ask_canary(30.0)))
    begin = time.process_time()
    sum(range(2_000_000))
    _slowness = max(1.0, (time.process_time() - begin) / LOOP_SECONDS)
    return _base


def cpu_limit() -> float:
    """Seconds of CPU time that a program may compute in one step, which load does not stretch."""
    return CPU_SECONDS * _slowness


def be_patient(factor: float) -> None:
    """Multiplies every deadline from now on by `factor` (1 again for the next check)."""
    global _patience
    _patience = factor


@contextlib.contextmanager
def allowing(seconds: float) -> Iterator[None]:
    """Adds the seconds that the contract lets a program rest or linger to every deadline within the block."""
    global _allowed
    before, _allowed = _allowed, seconds
    try:
        yield
    finally:
        _allowed = before


def deadline() -> float:
    """Seconds that anything may take now. What works never reaches it: only what is broken waits so long."""
    stretched = min(8.0, max(1.0, kernel.running_elsewhere() / (os.cpu_count() or 1)))
    return (_base * _patience + _allowed) * stretched


def machine_is_well() -> bool:
    """Whether a known-good program meets half a deadline now."""
    limit = deadline() / 2
    return _ask_canary(limit) < limit


def _ask_canary(limit: float) -> float:
    """Starts the known-good server, asks it once, sees its child exit; returns the seconds, `limit` if it
    took longer.

    What it does is what the checks ask of a program: start, listen, accept, fork, answer, reap, end. Its
    socket has a name that no judged program can take from it, as it could all ports.
    """
    begin = time.monotonic()
    canary = [sys.executable, "-I", "-S", str(Path(__file__).with_name("canary.py"))]
    with contextlib.ExitStack() as after, contextlib.suppress(OSError):
        place = Path(after.enter_context(tempfile.TemporaryDirectory(prefix="labs-canary-")))
        process = after.enter_context(Process(canary, cwd=place, stdout=subprocess.PIPE))
        client = after.enter_context(socket.socket(socket.AF_UNIX))
        assert process.stdout is not None
        process.stdout.readline()
        client.settimeout(limit)
        client.connect(f"/proc/{process.pid}/cwd/socket")  # the name of a socket may not be long
        client.sendall(b"canary\n")
        while client.recv(100):
            pass
        if process.wait(limit) is not None:
            return min(limit, time.monotonic() - begin)
    return limit


def poll(fact: Callable[[], Fact], seconds: float, in_vain: Callable[[], bool] | None = None) -> Fact | None:
    """Asks for the fact until it is true or the seconds are over; returns it, or None.

    in_vain: tells, when it is asked again and again, that the fact cannot come true any more.
    """
    end = time.monotonic() + seconds
    pause = 0.0005
    while True:
        value = fact()
        if value:
            return value
        if time.monotonic() >= end or (in_vain and in_vain()):
            return None
        time.sleep(pause)
        pause = min(0.02, pause * 1.5)


class Missed(Exception):
    """The deadline passed, and a known-good program met it meanwhile; or nothing can happen any more."""

    def __init__(self, seconds: float, certain: bool):
        why = (
            ", and nothing can happen any more: every thread sleeps, nothing is on its way" if certain else ""
        )
        super().__init__(f"not seen in {seconds:.1f} s{why}")
        self.seconds = seconds


class _Certainty:
    """Looks, while it is asked, whether something can still happen; certain is what several looks have in
    common.
    """

    def __init__(self) -> None:
        self.certain = False
        self._next = time.monotonic() + FIRST_LOOK
        self._last: stillness.Look | None = None
        self._equal = 0

    def __call__(self) -> bool:
        if time.monotonic() >= self._next and not self.certain:
            seen = stillness.look()
            self._equal = self._equal + 1 if seen is not None and seen == self._last else 0
            self._last = seen
            self._next = time.monotonic() + BETWEEN_LOOKS
            self.certain = self._equal >= 2
        return self.certain


def await_fact(fact: Callable[[], Fact]) -> Fact:
    """Returns the fact as soon as it is true.

    Throws Missed, or CouldNotTell if the machine was too slow to tell. The canary gets the second half of the
    time: if it needs longer than that, so might any good program. Where nothing can happen any more, no
    deadline is waited for.
    """
    begin = time.monotonic()
    value = poll(fact, AT_ONCE)
    if value:
        return value
    limit = deadline()
    certainty = _Certainty()
    value = poll(fact, limit / 2 - AT_ONCE, certainty)
    vouched = bool(value) or certainty.certain or _ask_canary(limit / 2) < limit / 2
    value = value or poll(fact, max(0.0, begin + limit - time.monotonic()), certainty)
    if value:
        return value
    its_own_load = kernel.running(os.getpid()) > 2 * (os.cpu_count() or 1)
    if not vouched and not its_own_load:
        raise CouldNotTell(f"a known-good program did not meet the deadline of {limit:.1f} s either")
    raise Missed(time.monotonic() - begin, certainty.certain)


def wait_until(
    fact: Callable[[], Fact], what: str, cause: Cause = None, instead: Callable[[], str] | None = None
) -> Fact:
    """Waits until the fact is true and returns it: a step `what`, seen or not.

    cause: the name of the likely cause if it never is. instead: tells what is seen instead.
    """
    with step(what) as current:
        try:
            value = await_fact(fact)
        except Missed as missed:
            told = f"{instead()} after {missed.seconds:.1f} s" if instead else str(missed)
            raise Failed(told, cause=cause) from None
        current.outcome = "seen"
        return value
