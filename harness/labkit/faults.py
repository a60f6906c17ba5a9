"""What faults.cpp is told to do to a program, and tells of it: a disturbance that nobody has seen proves
nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .shared_counts import SharedCounts
from .steps import Failed

# What faults.cpp counts, in its order.
COUNTS = (
    "loaded",
    "send",
    "sendfile",
    "recv",
    "fork",
    "nth_fork",
    "child",
    "pass",
    "bare",
    "thread",
    "threads",
    "accept",
    "accepts",
    "nth_accept",
    "aborted",
    "files",
    "early",
    "group",
    "dying",
    "select",
    "eintr",
    "again",
    "late",
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
# A program may find addresses in another way, send without a limit of time, end its children without a
# signal, and never ask for the time.
_OPTIONAL = {"names", "six", "late", "group", "dying", "time"}


class Disturbance(SharedCounts):
    """The faults of one program, and the counts that it shares with the harness."""

    def __init__(self, faults: Mapping[str, int], shim: Path, directory: Path) -> None:
        super().__init__(COUNTS, shim, directory, "FAULT_COUNTS")
        self.faults = faults
        self.environment |= {f"FAULT_{call.upper()}": str(count) for call, count in faults.items()}

    def expect_done(self, came: int = 0) -> None:
        """Fails if a fault that was to happen has not, or not to all of the `came` bytes that have come here:
        the program has not made that call through the C library."""
        missed = [name for name in self.faults if name not in _OPTIONAL and not self.count(name)]
        if "send" in self.faults and self.count("sent_bytes") < came:
            missed = ["send"]
        if missed:
            raise Failed(f"it was never seen to call {', '.join(missed)}", cause="not_disturbed")
