"""One result model: what was judged, how, and the totals. Every writer reads this and nothing else."""

from __future__ import annotations

import configparser
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labkit.causes import COMMON_CAUSES, Declaration
from labkit.client import Conversation

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent

PASS, FAIL, COULD_NOT_TELL = "pass", "fail", "could not tell"


class Unusable(Exception):
    """Nothing can be graded like this: the message says why and what to do. Exit status 2."""


# Checks at once: much of one is waiting.
AT_ONCE = 4 * len(os.sched_getaffinity(0))


def count(text: str) -> int:
    """A number of things that an option may be given, at least 1. Throws ValueError for others, as argparse
    wants it.
    """
    return _at_least(1, text)


def natural(text: str) -> int:
    """The same of a number that may be 0."""
    return _at_least(0, text)


def _at_least(least: int, text: str) -> int:
    if (number := int(text)) < least:
        raise ValueError(text)
    return number


@dataclass(frozen=True)
class Check:
    """A check as it counts this term."""

    name: str
    lab: str
    number: str  # "4.3"
    points: float
    hidden: bool
    title: str
    why: str  # its docstring
    read: str  # "handouts/lab04.md#reaping"
    causes: dict[str, str]
    after: str = ""  # the name of the check that has to pass before this one counts
    slow: bool = False

    @property
    def is_demonstration(self) -> bool:
        """Whether it shows given programs: nothing that a student has done is judged by it."""
        return self.points == 0

    @classmethod
    def declared(
        cls, name: str, lab: str, index: int, declaration: Declaration, why: str, term: Term
    ) -> Check:
        points, hidden = term.of(lab, name, declaration)
        return cls(
            name=name,
            lab=lab,
            number=f"{int(lab[3:])}.{index}",
            points=points,
            hidden=hidden,
            title=declaration.title,
            why=" ".join(why.split()),
            read=f"handouts/{lab}.md#{declaration.read}",
            causes=COMMON_CAUSES | declaration.causes,
            after=declaration.after,
            slow=declaration.slow,
        )


class Term:
    """harness/term.ini: the points and hidden checks that an instructor has changed."""

    def __init__(self, path: Path = HARNESS / "term.ini") -> None:
        self._path = path
        self._file = configparser.ConfigParser()
        try:
            self._file.read(path, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError) as error:
            raise Unusable(f"{path}: {error}") from None

    def of(self, lab: str, check: str, declaration: Declaration) -> tuple[float, bool]:
        """The points of a check, and whether it is hidden."""
        entry = self._file.get(lab, check, fallback=None)
        if entry is None:
            return declaration.points, declaration.hidden
        number, _, visibility = entry.partition(" ")
        try:
            hidden = {"": declaration.hidden, "hidden": True, "visible": False}[visibility.strip()]
            return float(number), hidden
        except (KeyError, ValueError):
            raise Unusable(
                f"{self._path}: {lab}: {check} = {entry}: write points, and hidden or visible if that changes"
            ) from None

    def verify(self, lab: str, checks: Iterable[Check]) -> None:
        """Throws Unusable unless the lab's points sum to 100 and every check that is named exists."""
        checks = list(checks)
        known = {check.name: check.points for check in checks}
        for check in checks:
            if check.after and check.after not in known:
                raise Unusable(f"{lab}: {check.name} counts after {check.after}, which is no check")
        for name in self._file[lab] if self._file.has_section(lab) else []:
            if name not in known:
                raise Unusable(f"{self._path}: {lab} has no check {name}")
        if abs(sum(known.values()) - 100) > 1e-6:
            raise Unusable(f"{lab}: the points of its checks sum to {sum(known.values()):g}, not 100")


@dataclass
class Result:
    """How one check went."""

    check: Check
    verdict: str = COULD_NOT_TELL
    rung: str = ""  # how far the program came before it failed
    cause: str | None = None  # the name of the likely cause
    reason: str = "not graded yet"  # one line
    steps: list[dict[str, Any]] = field(default_factory=list)
    programs: list[str] = field(default_factory=list)  # that it started
    seconds: float = 0.0
    attempts: int = 0
    logs: dict[str, str] = field(default_factory=dict)  # stdout and stderr of its programs
    binaries: dict[Path, int] = field(default_factory=dict)  # the programs' files, as Lab has them
    picture: str = ""  # SVG of a schedule that failed
    seen: float = 0.0  # when the verdict was found, if it is kept from an earlier run; since the epoch
    begun: float = 0.0  # when its last attempt began, in seconds since the epoch
    failed: float = 0.0  # and when it failed, if it did
    conversations: list[Conversation] = field(default_factory=list)  # of its clients, if it was traced
    told_whole: bool = False  # whether the terminal showed the whole story, and not a line
    after: Result | None = None  # that of the check which has to pass before this one counts

    @property
    def counts(self) -> bool:
        """Whether the check that has to pass before this one does, or is not part of the run."""
        return self.after is None or self.after.verdict == PASS

    @property
    def score(self) -> float:
        return self.check.points if self.verdict == PASS and self.counts else 0.0

    @property
    def note(self) -> str:
        """Why a passed check has no points; or nothing."""
        uncounted = self.verdict == PASS and self.after and not self.counts
        return f"not counted until «{self.after.check.title}» passes" if uncounted and self.after else ""

    @property
    def cause_text(self) -> str | None:
        return self.check.causes.get(self.cause, self.cause) if self.cause else None


@dataclass
class Report:
    """One submission's results."""

    results: list[Result]
    hidden_points: dict[str, float] = field(default_factory=dict)  # by lab, of checks left out of this run
    surroundings: list[str] = field(default_factory=list)  # the sandbox's tier, the deadline, the seed
    seed: int = 0  # of what the checks have drawn
    seconds: float = 0.0
    complete: bool = False

    def labs(self) -> list[str]:
        return sorted({result.check.lab for result in self.results})

    def of_lab(self, lab: str) -> list[Result]:
        return [result for result in self.results if result.check.lab == lab]

    @staticmethod
    def score(results: Iterable[Result]) -> float:
        return sum(result.score for result in results)

    @staticmethod
    def possible(results: Iterable[Result]) -> float:
        return sum(result.check.points for result in results)

    def count(self, verdict: str) -> int:
        return sum(result.verdict == verdict for result in self.results)

    def exit_status(self) -> int:
        """2 nothing graded, 3 something could not be told, 1 something failed, 0 all passed."""
        if not self.results:
            return 2
        return 3 if self.count(COULD_NOT_TELL) else 1 if self.count(FAIL) else 0
