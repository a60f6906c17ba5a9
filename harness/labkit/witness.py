"""What witness.cpp tells of a program with ThreadSanitizer: that in this very process it reports races."""

from __future__ import annotations

from pathlib import Path

from .preloading import compiled
from .shared_counts import SharedCounts
from .steps import CouldNotTell, Failed

# What witness.cpp counts, in its order.
COUNTS = ("loaded", "asked", "seen", "ended", "words", "threads", "locks", "changes")


class Witness(SharedCounts):
    """The proof for one process.

    unlocked: its locks order nothing for the sanitizer, which has to see a race where they protect something.
    """

    def __init__(self, library: Path, directory: Path, unlocked: bool) -> None:
        super().__init__(COUNTS, library, directory, "WITNESS_COUNTS")
        self.unlocked = unlocked
        self.environment |= {"WITNESS_UNLOCKED": "1"} if unlocked else {}

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
    source, header = (Path(__file__).with_name(name) for name in ("witness.cpp", "shared_counts.hpp"))
    built = compiled(source, directory, header, flags=("-fno-threadsafe-statics",))
    if built is None:
        raise CouldNotTell("the library that proves ThreadSanitizer's reports could not be built")
    return built
