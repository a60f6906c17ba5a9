"""Proves that programs can be run here, before any is judged: a run that never began is never a mark."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from .box import Box, scratch_directory
from .steps import CouldNotTell, Failed
from .surroundings import Surroundings

_KNOWN_GOOD = "/usr/bin/true"


def prove_start(box: Box, directory: Path) -> None:
    """Starts a known-good program in `directory`, as judged ones will be. Throws CouldNotTell if it fails."""
    program = directory / ".known-good"
    with contextlib.ExitStack() as after:
        own = after.enter_context(scratch_directory(box.tier))
        said = after.enter_context(tempfile.TemporaryFile())
        if os.access(directory, os.W_OK):
            after.callback(program.unlink, missing_ok=True)
            shutil.copy(_KNOWN_GOOD, program)
        else:
            program = Path(_KNOWN_GOOD)
        status: int | None = None
        with contextlib.suppress(Failed):  # where the mount is noexec, nothing is a program
            status = box.start(
                [str(program)], Surroundings(own), stdout=subprocess.DEVNULL, stderr=said
            ).wait()
        said.seek(0)
        words = said.read(2000).decode(errors="replace").strip().splitlines()
    if status != 0:
        noexec = os.statvfs(directory).f_flag & os.ST_NOEXEC
        why = "it is mounted noexec" if noexec else "; ".join(words[-2:]) or f"exit status {status}"
        raise CouldNotTell(f"no program can be run in {directory}: {why}")
