"""A submission: which of its files count, and the work copy of the labs in which they are judged."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labkit.build import LABS

from .model import ROOT, Unusable

LARGEST_SOURCE = 1 << 20  # bytes; a larger file is not a solution
_EXERCISE = re.compile(r"^ *// (BEGIN SOLUTION|TODO): ", re.MULTILINE)


def exercise_files(lab: str) -> list[str]:
    """The files of a lab that students write: those with exercise regions in the instructor's tree."""
    sources = sorted((ROOT / LABS[lab]).glob("*.?pp"))
    return [path.name for path in sources if _EXERCISE.search(path.read_text(errors="replace"))]


def read_untrusted(path: Path) -> bytes | None:
    """The content of a regular file that somebody else made, or None if there is none.

    A link is not followed and a FIFO not waited for; throws Unusable for what is neither absent nor a plain
    file.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unusable(f"{path.name}: {error.strerror}: only plain files count") from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Unusable(f"{path.name} is not a plain file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(LARGEST_SOURCE + 1)
    if len(content) > LARGEST_SOURCE:
        raise Unusable(f"{path.name} is larger than {LARGEST_SOURCE} bytes")
    return content


def directories(submission: Path, labs: list[str]) -> dict[str, Path]:
    """Where the submission has the labs: as lab05_select in it, or one level deeper; or it is itself a lab's
    directory.

    A link on the way counts for nothing: it may lead to somebody else's work.
    """
    found: dict[str, Path] = {}
    for lab in labs:
        candidates = [submission / LABS[lab], *sorted(submission.glob(f"*/{LABS[lab]}"))]
        places = [
            path
            for path in candidates
            if path.is_dir() and path.resolve() == submission.resolve() / path.relative_to(submission)
        ]
        if places:
            found[lab] = places[0]
    itself = labs if len(labs) == 1 else [lab for lab in labs if submission.name == LABS[lab]]
    if not found and itself and any((submission / name).is_file() for name in exercise_files(itself[0])):
        found[itself[0]] = submission
    return found


@contextlib.contextmanager
def work_copy(submission: Path, labs: list[str]) -> Iterator[tuple[Path, list[str]]]:
    """A tree with the instructor's labs and the submission's exercises in it; also returns the labs that were
    found.

    Throws Unusable if the submission has none of them.
    """
    if not submission.is_dir():
        raise Unusable(f"{submission}: there is no such directory")
    found = directories(submission, labs)
    if not found:
        wanted = ", ".join(LABS[lab] for lab in labs)
        raise Unusable(
            f"{submission.name} has none of {wanted}: give the directory that contains it, or name one lab"
        )
    tree = Path(tempfile.mkdtemp(prefix="submission-"))
    tree.chmod(0o755)
    try:
        for lab, place in found.items():
            copy = tree / LABS[lab]
            shutil.copytree(ROOT / LABS[lab], copy, ignore=shutil.ignore_patterns("asan", "tsan", "tests"))
            copy.chmod(0o755)  # also where the instructor keeps the labs from others
            for name in exercise_files(lab):
                content = read_untrusted(place / name)
                if content == (copy / name).read_bytes():
                    continue  # the reference itself
                (copy / name).unlink()
                if content is not None:  # a missing exercise is missing, not the instructor's
                    (copy / name).write_bytes(content)
        yield tree, list(found)
    finally:
        shutil.rmtree(tree, ignore_errors=True)
