"""Programs under the explorer (labkit/schedules.cpp): requests in, runs out."""

from __future__ import annotations

import contextlib
import os
import select
import struct
import subprocess
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from labkit.box import Box
from labkit.steps import CouldNotTell
from labkit.surroundings import Surroundings

SPURIOUS = 1  # wake-ups for no reason in one run
STEPS = 20_000  # of a run; more have no end
PATIENCE = (
    120.0  # seconds that one answer may take: the explorer itself ends a run that does nothing after ten
)

CHOICES, EVENTS = 1, 2  # what a request wants to know

# As in schedules.hpp.
HOW = ("ended", "deadlock", "endless", "misuse", "cannot", "stuck", "spins", "diverged")
KINDS = (
    "begins ends creates joins detaches locks waits_for_lock unlocks tries_in_vain shares unshares waits "
    "wakes_one wakes_all "
    "woken spurious times_out yields sleeps leaves returns runs posts waited"
).split()
WANTS = ("nothing", "lock", "share", "permit", "end", "told", "time", "outside", "ready", "over")

_ANSWER = struct.Struct("<IiIIQIIIIII")
_EVENT = struct.Struct("<BBhiqII8Q")
_SLEEPER = struct.Struct("<BbhiiI16s")
_MAGIC = 0x5C4ED01E

# (position of the choice, option taken) where that is not the first option.
Schedule = tuple[tuple[int, int], ...]


def as_text(schedule: Schedule, together: bool = False) -> str:
    """A schedule as people copy it: '12.1,17.2'; '-' is the usual one. With a t, threads begin together."""
    return ("t" if together else "") + (
        ",".join(f"{position}.{option}" for position, option in schedule) or "-"
    )


def from_text(text: str) -> tuple[Schedule, bool]:
    """The schedule that the text is, and whether threads begin together. Throws ValueError if it is none."""
    together = text.startswith("t")
    text = text[together:]
    if text == "-":
        return (), together
    pairs = [word.split(".") for word in text.split(",")]
    schedule = tuple((int(position), int(option)) for position, option in pairs)
    if any(a[0] >= b[0] for a, b in zip(schedule, schedule[1:])) or any(min(pair) < 0 for pair in schedule):
        raise ValueError(text)
    return schedule, together


@dataclass(frozen=True)
class Event:
    """Something that a thread did. `of` is the number of the lock or condition, `other` that of another
    thread.
    """

    kind: str
    who: int
    other: int
    of: int
    value: int
    output: int  # how many bytes the program had printed before
    choice: int  # how many choices were made before
    frames: tuple[int, ...]  # addresses within the program, innermost call first


@dataclass(frozen=True)
class Thread:
    """A thread, and what it waited for at the end, if the explorer ended the run."""

    name: str
    wants: str
    joins: int  # for "end": the thread
    of: int  # the lock or condition
    owner: int  # who had that lock, -1 for nobody


@dataclass
class Run:
    """One run of a program under one schedule."""

    status: int  # as of subprocess: negative is a signal
    how: str  # of HOW: how it came to its end
    # Times that the turn was taken from a thread which only computed: such a run cannot be repeated exactly.
    forced: int
    steps: int
    message: str
    output: bytes
    errors: bytes
    choices: Sequence[int] = ()  # each: options | taken << 8 | bits of those that cost a preemption << 32
    events: list[Event] = field(default_factory=list)
    threads: list[Thread] = field(default_factory=list)

    @property
    def schedule(self) -> Schedule:
        return tuple((at, choice >> 8 & 255) for at, choice in enumerate(self.choices) if choice >> 8 & 255)

    @property
    def preemptions(self) -> int:
        """How many of its choices are a preemption, a spurious wake-up, or a time limit that passes while
        others could run.
        """
        return sum(choice >> 32 >> (choice >> 8 & 255) & 1 for choice in self.choices)


@dataclass(frozen=True)
class Request:
    """What to run: by a schedule, or by chance from a seed."""

    schedule: Schedule = ()
    seed: int | None = None
    depth: int = 3  # of PCT: changes of priority, plus one
    length: int = 1  # steps of a usual run, among which they are
    wanted: int = CHOICES
    again: bool = False  # if it can be: in the process of the last run, which takes a fourth of the time

    def line(self, together: bool, steps: int) -> bytes:
        mode = 0 if self.seed is None else 1
        words = (
            mode,
            self.seed or 0,
            self.depth,
            self.length,
            SPURIOUS,
            steps,
            self.wanted,
            int(together),
            int(self.again),
        )
        return f"{' '.join(map(str, words))} {as_text(self.schedule)}\n".encode()


@dataclass(frozen=True)
class Target:
    """A program to explore: where it is, its arguments, its input, and the box that it runs in."""

    argv: tuple[str, ...]
    cwd: Path
    env: dict[str, str]
    library: Path  # the compiled schedules.cpp
    input: Path = Path("/dev/null")
    together: bool = (
        False  # the threads begin together, and what main does between their beginnings and ends is no matter
    )
    box: Box = field(default_factory=Box)
    steps: int = STEPS
    clients: str = ""  # of a server: their scripts, as in schedules_world.cpp

    def surroundings(self) -> dict[str, str]:
        return self.env | {
            "LD_PRELOAD": str(self.library),
            "LD_BIND_NOW": "1",
            "EXPLORE": os.path.realpath(self.argv[0]),
            "EXPLORE_INPUT": str(self.input),
            **({"EXPLORE_CLIENTS": self.clients} if self.clients else {}),
        }

    def debugged(self, request: Request) -> dict[str, str]:
        """The surroundings in which the program runs by one schedule, and serves nobody."""
        line = request.line(self.together, self.steps).decode().strip()
        return {
            "LD_PRELOAD": str(self.library),
            "EXPLORE": os.path.realpath(self.argv[0]),
            "EXPLORE_SCHEDULE": line,
            **({"EXPLORE_CLIENTS": self.clients} if self.clients else {}),
        }


class Engine:
    """A program that waits, at its beginning, for requests. Use it in a with statement."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._errors = tempfile.TemporaryFile()
        around = Surroundings(target.cwd, target.surroundings())
        self._process = target.box.start(
            target.argv, around, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[bytes] = self._process.stdin
        self._answers: IO[bytes] = self._process.stdout
        self._ready = select.poll()
        self._ready.register(self._answers, select.POLLIN)
        self._buffer = bytearray()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._requests.close()
        self._process.kill()
        self._answers.close()
        self._errors.close()

    def run(self, request: Request) -> Run:
        return next(self.runs([request]))

    def runs(self, requests: Iterable[Request]) -> Iterator[Run]:
        """Runs the program once for each request, in this order. Throws CouldNotTell if it cannot be
        explored.
        """
        asked = list(requests)
        try:
            self._requests.write(
                b"".join(request.line(self._target.together, self._target.steps) for request in asked)
            )
            self._requests.flush()
        except OSError:
            raise self._broken() from None
        for request in asked:
            yield self._answer(request)

    def _answer(self, request: Request) -> Run:
        magic, status, how, forced, steps, choices, events, threads, message, output, errors = _ANSWER.unpack(
            self._take(_ANSWER.size)
        )
        if magic != _MAGIC or how >= len(HOW):
            raise self._broken()
        taken = array("Q", self._take(8 * choices))
        seen = [
            Event(KINDS[kind], who, other, of, value, printed, choice, tuple(filter(None, frames)))
            for kind, who, other, of, value, printed, choice, *frames in _EVENT.iter_unpack(
                self._take(_EVENT.size * events)
            )
        ]
        known = [
            Thread(name.rstrip(b"\0").decode(errors="replace"), WANTS[wants], joins, of, owner)
            for wants, _, joins, of, owner, _, name in _SLEEPER.iter_unpack(
                self._take(_SLEEPER.size * threads)
            )
        ]
        return Run(
            os.waitstatus_to_exitcode(status),
            HOW[how],
            forced,
            steps,
            self._take(message).decode(errors="replace"),
            self._take(output),
            self._take(errors),
            taken,
            seen,
            known,
        )

    def _take(self, size: int) -> bytes:
        while len(self._buffer) < size:
            if not self._ready.poll(PATIENCE * 1000):
                raise CouldNotTell("a run under the explorer did not come to its end")
            chunk = os.read(self._answers.fileno(), 1 << 16)
            if not chunk:
                raise self._broken()
            self._buffer += chunk
        taken = bytes(self._buffer[:size])
        del self._buffer[:size]
        return taken

    def _broken(self) -> CouldNotTell:
        self._errors.seek(0)
        said = self._errors.read(400).decode(errors="replace").strip()
        return CouldNotTell(f"the program cannot be explored{': ' if said else ''}{said}")
