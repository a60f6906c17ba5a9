"""Counts that a preloaded library of the harness shares with it: shared_counts.hpp is the other side."""

from __future__ import annotations

import contextlib
import itertools
import mmap
import struct
from collections.abc import Sequence
from pathlib import Path

_numbers = itertools.count(1)


class SharedCounts:
    """The counts of one process, by name, in the order of the library's enum; the first is `loaded`.

    `directory` is one that the process may write to. `variable`: the library finds the file by it.
    """

    def __init__(self, names: Sequence[str], library: Path, directory: Path, variable: str) -> None:
        self._names = names
        self._path = directory / f".counts-{next(_numbers)}"
        with self._path.open("xb+") as file:
            file.truncate(8 * len(names))
            self._path.chmod(0o666)
            self._shared = mmap.mmap(file.fileno(), 8 * len(names))
        self.environment = {"LD_PRELOAD": str(library), variable: str(self._path)}

    def count(self, what: str) -> int:
        """How often that was done."""
        return int(struct.unpack_from("=Q", self._shared, 8 * self._names.index(what))[0])

    def begun(self) -> bool:
        """Whether the library is loaded, before main. From then on the file is nobody else's."""
        if not self.count("loaded"):
            return False
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
        return True
