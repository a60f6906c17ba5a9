"""What is done to a program by faults.cpp within it and by unotify.py from outside, and how often it was
done: a disturbance that nobody has seen proves nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from . import unotify
from .shared_counts import SharedCounts
from .steps import Failed

# What faults.cpp counts, in its order.
COUNTS = (
    "loaded",
    "send",
    "sendfile",
    "recv",
    "child",
    "pass",
    "bare",
    "aborted",
    "files",
    "early",
    "group",
    "dying",
    "select",
    "eintr",
    "close",
    "sent_bytes",
    "threads_begun",
    "locks",
    "names",
    "time",
    "six",
    "held",
    "bound",
    "unsent",
)
# What the story of a check says of a fault: {n} is its number, {nth} the ordinal.
_WORDS = {
    "send": "a send takes at most {n} bytes",
    "sendfile": "a sendfile sends at most {n} bytes",
    "recv": "a recv returns at most {n} bytes",
    "again": "every {nth} send that must not block fails: EAGAIN",
    "late": "every {nth} send with a time limit fails: EAGAIN",
    "accept": "from the {nth} on every accept fails: ENFILE",
    "accepts": "accept fails at first: ENFILE",
    "nth_accept": "the {nth} accept fails: ENFILE",
    "aborted": "the {nth} client is gone when it is accepted: ECONNABORTED",
    "unsent": "the {nth} datagram fails: EPERM",
    "fork": "fork fails at first: EAGAIN",
    "nth_fork": "the {nth} fork fails: ENOMEM",
    "thread": "no thread can be created at first: EAGAIN",
    "threads": "only {n} threads can be created: EAGAIN",
    "child": "each of the first {n} children is killed",
    "select": "select is interrupted: EINTR",
    "eintr": "every {nth} call on a socket is interrupted: EINTR",
    "bare": "the descriptor gets lost on its way",
    "files": "{n} descriptors are open when it starts",
    "names": "getaddrinfo returns {n} addresses more",
}
_ORDINALS = {1: "first", 2: "second", 3: "third", 4: "fourth", 5: "fifth"}
# A program may find addresses in another way, send without a limit of time, end its children without a
# signal, and never ask for the time.
_OPTIONAL = {"names", "six", "late", "group", "dying", "time"}


class Disturbance(SharedCounts):
    """The faults of one program, and the counts that it shares with the harness."""

    def __init__(
        self, faults: Mapping[str, int], shim: Path, directory: Path, sanitized: bool = False
    ) -> None:
        """sanitized: by ThreadSanitizer. The others are those of SharedCounts."""
        super().__init__(COUNTS, shim, directory, "FAULT_COUNTS")
        self.faults = faults
        outside = {fault: number for fault, number in faults.items() if fault in unotify.FAULTS}
        self.answers = unotify.Answers(outside, sanitized) if outside else None
        self.environment |= {f"FAULT_{fault.upper()}": str(number) for fault, number in faults.items()}

    def count(self, what: str) -> int:
        """How often that was done."""
        if what in unotify.FAULTS:
            return self.answers.count(what) if self.answers else 0
        return super().count(what)

    def told(self) -> str:
        """The faults in words, for the story of a check; "" if there is nothing to say."""
        known = {fault: number for fault, number in self.faults.items() if fault in _WORDS}
        return "; ".join(
            _WORDS[fault].format(n=number, nth=_ORDINALS.get(number, f"{number}th"))
            for fault, number in known.items()
        )

    def expect_done(self, came: int = 0) -> None:
        """Fails if a fault that was to happen has not, or not to all of the `came` bytes that have come here:
        the program has not made that call through the C library."""
        missed = [name for name in self.faults if name not in _OPTIONAL and not self.count(name)]
        if "send" in self.faults and self.count("sent_bytes") < came:
            missed = ["send"]
        if missed:
            raise Failed(f"it was never seen to call {', '.join(missed)}", cause="not_disturbed")
