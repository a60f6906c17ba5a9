"""A submission: which of its files count, and the work copy of the labs in which they are judged."""

from __future__ import annotations

import codecs
import contextlib
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from labkit.box import bounded_directory
from labkit.build import LABS

from .finding import exercise_files, find
from .model import ROOT, Unusable

TREE_BYTES, TREE_FILES = 2 << 30, 20_000  # of all labs, built plain and with sanitizers
LARGEST_SOURCE = 1 << 20  # bytes; a larger file is not a solution


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


def as_utf8(content: bytes) -> bytes:
    """The content of a source in UTF-8: a byte order mark says where it is in UTF-16, as some editors save
    it.
    """
    for mark, encoding in ((codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16")):
        if content.startswith(mark):
            return content.decode(encoding, errors="replace").encode()
    return content


@contextlib.contextmanager
def work_copy(
    submission: Path, labs: list[str], tier: int = 4
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """A tree with the instructor's labs and the submission's exercises in it, the labs found, notes on how.

    It has a limited size where the tier gives it one. Throws Unusable if the submission has none of them.
    """
    if not submission.is_dir():
        raise Unusable(f"{submission}: there is no such directory")
    found = find(submission, labs)
    with bounded_directory(tier, "submission-", TREE_BYTES, TREE_FILES) as tree:
        for lab, exercises in found.labs.items():
            copy = tree / LABS[lab]
            shutil.copytree(ROOT / LABS[lab], copy, ignore=shutil.ignore_patterns("asan", "tsan", "tests"))
            copy.chmod(0o755)  # also where the instructor keeps the labs from others
            for name in exercise_files(lab):
                content = read_untrusted(exercises[name]) if name in exercises else None
                if content == (copy / name).read_bytes():
                    continue  # the reference itself
                (copy / name).unlink()
                if content is None:  # a missing exercise is missing, not the instructor's
                    continue
                if content != (content := as_utf8(content)):
                    found.notes.append(f"{name} was in UTF-16, and was read as such.")
                (copy / name).write_bytes(content)
        yield tree, list(found.labs), found.notes
