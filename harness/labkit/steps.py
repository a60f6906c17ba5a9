"""The numbered steps of the running check: what was done, what was seen, and where it stopped."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

# A likely cause's name; or one for each rung ({"bytes": "short_send_ignored"}: named if some, but not the
# right, bytes came, and neither if none came nor if the connection was closed instead); or a function that
# finds it from the evidence.
Cause = str | dict[str, str] | Callable[[], str | None] | None


def if_silent(cause: str) -> dict[str, str]:
    """The likely cause if the client was not accepted, or nothing came."""
    return {"accept": cause, "answer": cause}


LONGEST = 500  # characters of one line of a story: a program's own words may be in it


class Failed(Exception):
    """Evidence to the contrary was seen.

    rung: what broke first, of build, start, exited, sanitizer, listen, connect, accept, closed, answer,
    spins, bytes, reset, schedule, behaviour. cause: the likely cause; `otherwise` is named if it has none for
    this rung.
    picture: SVG that shows what was seen.
    """

    def __init__(
        self,
        what: str,
        *,
        rung: str = "behaviour",
        cause: Cause = None,
        otherwise: str | None = None,
        details: list[str] | None = None,
        picture: str = "",
    ):
        super().__init__(what)
        self.what = what
        self.picture = picture
        self.rung = rung
        named = cause.get(rung) if isinstance(cause, dict) else cause() if callable(cause) else cause
        self.cause = named or otherwise
        self.details = details or []


class CouldNotTell(Exception):
    """The harness could not get evidence: never a pass, and never charged to the student."""


@dataclass
class Step:
    """One line of a check's story."""

    text: str
    outcome: str = ""  # "seen", or what was seen instead
    details: list[str] = field(default_factory=list)
    failed: bool = False
    seconds: float = 0.0  # when the step began, since the check did
    until: float = 0.0  # and when it failed

    def as_dict(self) -> dict[str, Any]:
        return {
            "text": self.text[:LONGEST],
            "outcome": self.outcome[:LONGEST],
            "details": [detail[:LONGEST] for detail in self.details[:60]],
            "failed": self.failed,
            "seconds": round(self.seconds, 6),
            "until": round(self.until, 6),
        }


class Story:
    """The steps of one check. A step inside a quiet step is told only if it fails."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.steps: list[Step] = []
        self.witnesses: list[Callable[[], Failed | None]] = []
        self._clock = clock
        self._begin = clock()
        self._quiet = 0

    @contextlib.contextmanager
    def step(self, text: str, quiet: bool = False) -> Iterator[Step]:
        """Tells a step while the block runs; with quiet, the steps inside it are told only if they fail."""
        current = Step(text, seconds=self._clock() - self._begin)
        told = self._quiet == 0
        if told:
            self.steps.append(current)
        self._quiet += quiet
        try:
            yield current
        except (Failed, CouldNotTell) as error:
            if not any(known.failed for known in self.steps):
                outcome = self._judged(error, text)
                if not told:
                    self.steps.append(current)
                current.failed = True
                current.until = self._clock() - self._begin
                current.outcome = current.outcome or outcome
                current.details += error.details if isinstance(error, Failed) else [str(error)]
            raise
        finally:
            self._quiet -= quiet

    def _judged(self, error: Failed | CouldNotTell, text: str) -> str:
        """Returns the outcome of the step `text` that stops here, and lets a failure say which step it was.

        What a witness says is the cause, whatever the failure looked like.
        """
        if isinstance(error, CouldNotTell):
            return "could not tell"
        outcome = error.what
        for witness in self.witnesses if error.rung not in ("build", "start") else []:
            if better := witness():
                error.what, error.rung, error.cause = better.what, better.rung, better.cause
                return f"{outcome}: {better.what}"
        if error.rung not in ("build", "start"):
            error.what = f"{text}: {outcome}"
        return outcome


_story: list[Story] = []


@contextlib.contextmanager
def telling(story: Story) -> Iterator[Story]:
    """Makes `story` the one that step() adds to while the block runs."""
    _story.append(story)
    try:
        yield story
    finally:
        _story.pop()


@contextlib.contextmanager
def step(text: str, quiet: bool = False) -> Iterator[Step]:
    """A step of the running check; the block may set its outcome. Outside a check it is told to nobody."""
    if not _story:
        yield Step(text)
        return
    with _story[-1].step(text, quiet) as current:
        yield current


def attest(witness: Callable[[], Failed | None]) -> None:
    """Has the witness asked when the running check fails: what it returns is the likely cause."""
    if _story:
        _story[-1].witnesses.append(witness)


def expect(
    truth: object,
    what: str,
    *,
    otherwise: str = "not so",
    cause: Cause = None,
    details: list[str] | None = None,
) -> None:
    """A step `what` that fails, with `otherwise` as what was seen instead, unless `truth` is true."""
    with step(what) as current:
        if not truth:
            raise Failed(otherwise, cause=cause, details=details)
        current.outcome = "seen"


def show(data: bytes, limit: int = 60) -> str:
    """Bytes as a reader can type them: 'one\\r\\n'; long ones are cut, and their length said."""
    text = repr(data[:limit])[1:]
    return text if len(data) <= limit else f"{text}… ({len(data)} bytes)"


def difference(expected: bytes, received: bytes, window: int = 48) -> list[str]:
    """Both sides, escaped, around the first difference, with a caret under it."""
    at = next(
        (i for i, (a, b) in enumerate(zip(expected, received)) if a != b), min(len(expected), len(received))
    )
    start = max(0, at - window // 2)
    lead = "…" if start else ""

    def escape(data: bytes) -> str:
        return data.decode("latin-1").encode("unicode_escape").decode("ascii")

    rows = [
        f"{name} {lead}{escape(data[start:at])}{escape(data[at : start + window])}"
        for name, data in (("expected", expected), ("received", received))
    ]
    caret = " " * (len("expected ") + len(lead) + len(escape(expected[start:at]))) + f"^ byte {at + 1}"
    lengths = f"({len(expected)} bytes expected, {len(received)} received)"
    return [*rows, f"{caret} {lengths}"]
