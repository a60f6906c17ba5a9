"""What witness.cpp tells of a program with ThreadSanitizer: that in this very process it reports races."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import struct
from pathlib import Path

from .preloading import compiled
from .steps import CouldNotTell, Failed

# What witness.cpp counts, in its order.
COUNTS = ("loaded", "asked", "seen", "ended", "words", "threads", "locks", "changes")
_SIZE = 8 * len(COUNTS)
_numbers = itertools.count(1)


class Witness:
    """The proof for one process. `directory` is one that it may write to.

    unlocked: its locks order nothing for the sanitizer, which has to see a race where they protect something.
    """

    def __init__(self, library: Path, directory: Path, unlocked: bool) -> None:
        self.unlocked = unlocked
        self._path = directory / f".witness-{next(_numbers)}"
        with self._path.open("xb+") as file:
            file.truncate(_SIZE)
            self._path.chmod(0o666)
            self._shared = mmap.mmap(file.fileno(), _SIZE)
        self.environment = {"LD_PRELOAD": str(library), "WITNESS_COUNTS": str(self._path)}
        self.environment |= {"WITNESS_UNLOCKED": "1"} if unlocked else {}

    def count(self, what: str) -> int:
        """How often that was done, of COUNTS."""
        return int(struct.unpack_from("=Q", self._shared, 8 * COUNTS.index(what))[0])

    def begun(self) -> bool:
        """Whether the library is loaded, before main. From then on the file is nobody else's."""
        if not self.count("loaded"):
            return False
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        return True

    def expect_proved(self, status: int | None) -> None:
        """Fails if the sanitizer has missed a race that was made on purpose, or the process has ended by
        itself (with status 0) without one.
        """
        if not self.begun():
            raise CouldNotTell("the library that proves ThreadSanitizer's reports was not loaded")
        missed = self.count("asked") - self.count("seen")
        what = ""
        if missed:
            what = f"of {self.count('asked')} races made on purpose ThreadSanitizer has missed {missed}"
        elif self.count("words"):
            what = "it has told ThreadSanitizer what not to see"
        elif status == 0 and not self.count("ended"):
            what = "what ended was not the program that ThreadSanitizer was in"
        if what:
            raise Failed(what, rung="sanitizer", cause="blinds_sanitizer")


def library(directory: Path) -> Path:
    """The compiled witness.cpp, somewhere in the directory. Throws CouldNotTell if it cannot be built."""
    built = compiled(Path(__file__).with_name("witness.cpp"), directory, flags=("-fno-threadsafe-statics",))
    if built is None:
        raise CouldNotTell("the library that proves ThreadSanitizer's reports could not be built")
    return built
