"""What faults.cpp is told to do to a program, and tells of it: a disturbance that nobody has seen proves
nothing.
"""

from __future__ import annotations

import contextlib
import itertools
import mmap
import struct
from collections.abc import Mapping
from pathlib import Path

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
)
# A program may find addresses in another way, and send without a limit of time.
_OPTIONAL = {"names", "late"}
_SIZE = 8 * len(COUNTS)
_numbers = itertools.count(1)


class Disturbance:
    """The faults of one program, and the counts that it shares with the harness. `directory` is one it may
    write to.
    """

    def __init__(self, faults: Mapping[str, int], shim: Path, directory: Path) -> None:
        self.faults = faults
        self._path = directory / f".faults-{next(_numbers)}"
        with self._path.open("xb+") as file:
            file.truncate(_SIZE)
            self._path.chmod(0o666)
            self._shared = mmap.mmap(file.fileno(), _SIZE)
        self.environment = {"LD_PRELOAD": str(shim), "FAULT_COUNTS": str(self._path)}
        self.environment |= {f"FAULT_{call.upper()}": str(count) for call, count in faults.items()}

    def count(self, what: str) -> int:
        """How often that was done, of COUNTS."""
        place = 8 * COUNTS.index(what)
        return int(struct.unpack_from("=Q", self._shared, place)[0])

    def begun(self) -> bool:
        """Whether the library is loaded, before main. From then on the file is nobody else's."""
        if not self.count("loaded"):
            return False
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        return True

    def expect_done(self, came: int = 0) -> None:
        """Fails if a fault that was to happen has not, or not to all of the `came` bytes that have come here:
        the program has not made that call through the C library."""
        missed = [name for name in self.faults if name not in _OPTIONAL and not self.count(name)]
        if "send" in self.faults and self.count("sent_bytes") < came:
            missed = ["send"]
        if missed:
            raise Failed(f"it was never seen to call {', '.join(missed)}", cause="not_disturbed")
