"""Verdicts that are kept: of the same programs, the same harness and the same machine. Never for a mark."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from labkit.build import is_current

from .model import COULD_NOT_TELL, HARNESS, Result
from .writers import write_atomically

_FIELDS = ("verdict", "rung", "cause", "reason", "steps", "programs", "seconds", "attempts", "logs")
_LONGEST_LOG = 1 << 14  # characters of a program's output that are kept


class Kept:
    """What is known of a tree's checks from earlier runs, a file a lab in `directory`."""

    def __init__(
        self, directory: Path, tree: Path, labs: Iterable[str], variant: str, seed: int, again: bool
    ) -> None:
        """again: what is known says only what takes how long."""
        self._directory = directory
        self._again = again
        self._tree = tree
        self._around = {lab: _digest([_machine(), variant, str(seed), *_harness(lab)]) for lab in labs}
        self._known: dict[str, dict[str, Any]] = {lab: _read(directory / f"{lab}.json") for lab in labs}
        self._hashes: dict[tuple[Path, int], str] = {}

    def seconds(self, result: Result) -> float:
        """How long the check took when it was run last, whatever has changed since; 0 if it never was."""
        entry = self._known[result.check.lab].get(result.check.name)
        return float(entry["seconds"]) if entry else 0.0

    def concerned(self, result: Result) -> bool:
        """Whether the check starts a program that has changed since it was run."""
        entry = self._known[result.check.lab].get(result.check.name)
        return entry is not None and entry["binaries"] != self._binaries(entry["binaries"])

    def recall(self, result: Result) -> bool:
        """Fills in the verdict if it still holds; returns whether it does."""
        entry = self._known[result.check.lab].get(result.check.name)
        if (
            self._again
            or entry is None
            or entry["around"] != self._around[result.check.lab]
            or self.concerned(result)
        ):
            return False
        for name in _FIELDS:
            setattr(result, name, entry[name])
        result.seen = entry["when"]
        return True

    def learn(self, result: Result) -> None:
        """Keeps the verdict, if it is one."""
        known = self._known[result.check.lab]
        if result.verdict == COULD_NOT_TELL or not result.binaries:
            known.pop(result.check.name, None)
            return
        binaries = self._binaries(os.path.relpath(path, self._tree) for path in result.binaries)
        same = all(
            path.exists() and path.stat().st_mtime_ns == built for path, built in result.binaries.items()
        )
        if None in binaries.values() or not same:  # it has changed while it was judged
            known.pop(result.check.name, None)
            return
        entry = {name: getattr(result, name) for name in _FIELDS}
        entry["logs"] = {name: log[-_LONGEST_LOG:] for name, log in result.logs.items()}
        entry |= {"around": self._around[result.check.lab], "binaries": binaries, "when": time.time()}
        known[result.check.name] = entry

    def write(self) -> None:
        """Writes what is known now; a directory that cannot be written to keeps nothing."""
        for lab, known in self._known.items():
            with contextlib.suppress(OSError):
                write_atomically(self._directory / f"{lab}.json", json.dumps(known))

    def _binaries(self, paths: Iterable[str]) -> dict[str, str | None]:
        return {path: self._hash(self._tree / path) for path in paths}

    def _hash(self, path: Path) -> str | None:
        """The hash of a program that is what its sources say; None for one that has to be built anew, or is
        not there.
        """
        lab, variant = (
            (path.parent, "") if path.parent.parent == self._tree else (path.parent.parent, path.parent.name)
        )
        if not is_current(lab, variant, path.name):
            return None
        built = path.stat().st_mtime_ns
        if (path, built) not in self._hashes:
            self._hashes[path, built] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._hashes[path, built]


def _read(path: Path) -> dict[str, Any]:
    try:
        known = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}


def _harness(lab: str) -> list[str]:
    """The content of everything that the lab's verdicts depend on, beside its programs."""
    places = ("labkit/*.py", "labkit/*.?pp", "grading/*.py", "exploring/*.py", f"checks/test_{lab}_*.py")
    files = sorted(path for place in places for path in HARNESS.glob(place))
    return [f"{path.name} {path.read_text()}" for path in files]


def _machine() -> str:
    told = (
        *os.uname(),
        os.cpu_count(),
        os.geteuid(),
        platform.python_version(),
        platform.libc_ver(),
        pytest.__version__,
    )
    return " ".join(map(str, told))


def _digest(parts: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\0")
    return digest.hexdigest()
