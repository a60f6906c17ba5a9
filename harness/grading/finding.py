"""Finds a lab's exercises in what somebody handed in, however an archive or a service has named it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from labkit.build import LABS

from .model import ROOT, Unusable

_EXERCISE = re.compile(r"^ *// (BEGIN SOLUTION|TODO): ", re.MULTILINE)
_NOT_LOOKED_INTO = re.compile(r"\..*|__MACOSX|venv|node_modules|build|asan|tsan")
_DEEPEST, _MOST = 6, 5000  # directories below the submission, and files of it, that are looked at


@dataclass
class Found:
    """Where a submission has the exercises of each lab (name to file), and notes for the report."""

    labs: dict[str, dict[str, Path]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def exercise_files(lab: str) -> list[str]:
    """The files of a lab that students write: those with exercise regions in the instructor's tree."""
    sources = sorted((ROOT / LABS[lab]).glob("*.?pp"))
    return [path.name for path in sources if _EXERCISE.search(path.read_text(errors="replace"))]


def find(submission: Path, labs: list[str]) -> Found:
    """Finds the labs in a submission. Throws Unusable if there is none.

    A lab is lab05_select in it, or one level deeper; else any directory that has its files, and best its
    name.

    A link counts for nothing: it may lead to somebody else's work.
    """
    found = Found()
    places: dict[str, Path] = {}
    for lab in labs:
        named = [submission / LABS[lab], *sorted(submission.glob(f"*/{LABS[lab]}"))]
        real = [path for path in named if path.is_dir() and not _behind_a_link(path, submission)]
        real = [path for path in real if "__MACOSX" not in path.parts]
        if real:
            places[lab] = real[0]
    for lab, place in (places or _by_files(submission, labs, found.notes)).items():
        found.labs[lab] = _exercises(place, lab, found.notes)
    if not any(found.labs.values()):
        wanted = ", ".join(name for lab in found.labs for name in exercise_files(lab))
        raise Unusable(" ".join([f"{submission.name} has none of {wanted}.", *found.notes]))
    return found


def _behind_a_link(path: Path, submission: Path) -> bool:
    return path.resolve() != submission.resolve() / path.relative_to(submission)


def _by_files(submission: Path, labs: list[str], notes: list[str]) -> dict[str, Path]:
    """The directory of each lab, by what its files are called."""
    wanted = {lab: set(exercise_files(lab)) for lab in labs}
    places: dict[str, list[tuple[int, int, Path]]] = {}
    unclear: set[str] = set()
    for place, names in _directories(submission):
        present = {_plain(name) for name in names}
        fitting = {lab: len(present & files) for lab, files in wanted.items() if present & files}
        most = max(fitting.values(), default=0)
        best = [lab for lab in fitting if _is_called(place, lab)] or [
            lab for lab in fitting if fitting[lab] == most
        ]
        if len(best) > 1:
            unclear |= {name for name in present if any(name in wanted[lab] for lab in best)}
        elif best:
            depth = len(place.relative_to(submission).parts)
            places.setdefault(best[0], []).append((-fitting[best[0]], depth, place))
    chosen: dict[str, Path] = {}
    for lab, ranked in places.items():
        (_, _, chosen[lab]), *others = sorted(ranked)
        if chosen[lab] != submission:
            notes.append(f"{lab} is {chosen[lab].relative_to(submission)} here.")
        notes.extend(f"{other.relative_to(submission)} was passed over." for _, _, other in others)
    if not chosen and unclear:
        raise Unusable(
            f"{', '.join(sorted(unclear))} may be of several labs: put what belongs to one into a directory"
            f" with its name ({LABS[labs[0]]}), or name one lab"
        )
    if not chosen:
        known = ", ".join(LABS[lab] for lab in labs)
        raise Unusable(
            f"{submission.name} has none of {known}: give the directory that contains it, or name one lab"
        )
    return chosen


def _is_called(place: Path, lab: str) -> bool:
    """Whether the directory's name speaks of the lab: lab01_cas_stdin (1), My Lab 1."""
    return re.search(rf"(?<![a-z])lab[ _-]*0*{int(lab[3:])}(?!\d)", place.name, re.IGNORECASE) is not None


def _directories(submission: Path) -> list[tuple[Path, list[str]]]:
    """The directories of the submission and the files in each, nearest first; links are not followed."""
    found: list[tuple[Path, list[str]]] = []
    waiting = [submission]
    seen = 0
    while waiting and seen < _MOST:
        place = waiting.pop(0)
        with os.scandir(place) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        seen += len(entries)
        found.append((place, [entry.name for entry in entries if entry.is_file(follow_symlinks=False)]))
        if len(place.relative_to(submission).parts) < _DEEPEST:
            waiting += [
                Path(entry.path)
                for entry in entries
                if entry.is_dir(follow_symlinks=False) and not _NOT_LOOKED_INTO.fullmatch(entry.name)
            ]
    return found


# doejane_12345_67890_upper_server-1.cpp, as Canvas calls it; upper_server (1).cpp, as browsers do
_DECORATED = re.compile(
    r"(?:.*_\d+_\d+_)?(?P<stem>.+?)(?:-(?P<canvas>\d+)| \((?P<browser>\d+)\))?(?P<end>\.[ch]pp)"
)


def _plain(name: str) -> str:
    """What a file was called before a service or a browser gave it another name."""
    match = _DECORATED.fullmatch(name)
    return match["stem"] + match["end"] if match else name


def _times(name: str) -> int:
    """How often the file had been handed in before."""
    match = _DECORATED.fullmatch(name)
    return int(match["canvas"] or match["browser"] or 0) if match else 0


def _exercises(place: Path, lab: str, notes: list[str]) -> dict[str, Path]:
    """The lab's exercises in a directory: under their own names, or the last under one made of it."""
    names = sorted(entry.name for entry in place.iterdir())
    found = {}
    for exercise in exercise_files(lab):
        renamed = sorted((name for name in names if _plain(name) == exercise), key=_times)
        name = exercise if exercise in names else renamed[-1] if renamed else ""
        if not name:
            continue
        if (place / name).is_symlink():
            notes.append(f"{name} is a link, and counts for nothing.")
            continue
        found[exercise] = place / name
        if name != exercise:
            notes.append(f"{exercise} is {name} here.")
    return found
