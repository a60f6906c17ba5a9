"""Libraries of the harness that are preloaded into judged programs (LD_PRELOAD)."""

from __future__ import annotations

import atexit
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

_FLAGS = ("-std=c++20", "-O2", "-shared", "-fPIC")


def compiled(source: Path, directory: Path, *more: Path, flags: Sequence[str] = ()) -> Path | None:
    """The library made of a source, and of `more` of them, somewhere in `directory`; None if it does not
    compile.

    It is compiled once for each content of the sources. Others may do the same at the same time.
    """
    # Headers are only known to be part of it.
    sources = [path for path in (source, *more) if path.suffix == ".cpp"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in (source, *more))).hexdigest()[:16]
    place = directory / digest
    if not splits_nowhere(place):
        place = Path(tempfile.mkdtemp(prefix="preload-"))
        place.chmod(0o755)
        atexit.register(shutil.rmtree, place, ignore_errors=True)
    library = place / f"{source.stem}.so"
    if library.exists():
        return library
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as own:
        made = Path(own, library.name)
        if (
            subprocess.run(
                ["g++", *_FLAGS, *flags, "-o", made, *sources], stderr=subprocess.DEVNULL
            ).returncode
            != 0
        ):
            return None
        os.replace(made, library)
    return library


def splits_nowhere(path: Path) -> bool:
    """Whether LD_PRELOAD takes the path for one: it splits at blanks and colons; ld.so(8)."""
    return not any(mark in str(path) for mark in ": \t\n")
