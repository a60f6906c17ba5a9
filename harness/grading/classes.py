"""A class: finds its submissions, unpacks archives without trusting them, and writes the rows of all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import COULD_NOT_TELL, PASS, Unusable
from .text import printable
from .writers import write_atomically

UNPACKED_BYTES, UNPACKED_FILES = 64 << 20, 5000  # of one archive
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")


@dataclass(frozen=True)
class Submission:
    """One student's work: `name` is what the class calls it, `slug` a file name made of it."""

    name: str
    slug: str
    path: Path


def submissions(directory: Path) -> list[Submission]:
    """The sub-directories and archives of a directory, by name. Throws Unusable if there is none."""
    if not directory.is_dir():
        raise Unusable(f"{directory}: there is no such directory")
    found: list[Submission] = []
    for path in sorted(directory.iterdir(), key=lambda entry: entry.name):
        name = path.name
        if path.is_symlink() or name.startswith("."):
            continue
        if path.is_file():
            ending = next((end for end in _ARCHIVES if name.lower().endswith(end)), None)
            if ending is None:
                continue
            name = name[: -len(ending)]
        elif not path.is_dir():
            continue
        name = name.encode("utf-8", "replace").decode()
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip(".") or "_"
        if slug != name or any(other.slug == slug for other in found):
            slug += "-" + hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        found.append(Submission(name, slug, path))
    if not found:
        raise Unusable(f"{directory} has no sub-directory and no archive: one submission each is expected")
    return found


def unpack(archive: Path, into: Path) -> None:
    """Unpacks a zip or tar file that somebody made: plain files and directories, inside `into`, of bounded size.

    Throws Unusable for everything else.
    """
    try:
        if archive.name.lower().endswith(".zip"):
            _unzip(archive, into)
        else:
            _untar(archive, into)
    except Unusable:
        raise
    except Exception as error:  # zlib.error, struct.error, LZMAError, …: nobody lists what damaged archives raise
        raise Unusable(f"the archive cannot be unpacked: {error}") from None


def _inside(into: Path, name: str) -> Path:
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise Unusable(f"the archive has the name {name!r}, which leads out of it")
    return into / path


class _Budget:
    """How much of an archive may still be unpacked."""

    def __init__(self) -> None:
        self.bytes, self.files = UNPACKED_BYTES, UNPACKED_FILES

    def write(self, source: io.BufferedIOBase | Any, target: Path) -> None:
        self.files -= 1
        if self.files < 0:
            raise Unusable(f"the archive holds more than {UNPACKED_FILES} files")
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while chunk := source.read(1 << 16):
                self.bytes -= len(chunk)
                if self.bytes < 0:
                    raise Unusable(f"the archive unpacks to more than {UNPACKED_BYTES >> 20} MiB")
                file.write(chunk)


def _unzip(archive: Path, into: Path) -> None:
    budget = _Budget()
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            if entry.is_dir():
                continue
            if kind not in (0, stat.S_IFREG):
                raise Unusable(f"the archive's {entry.filename!r} is not a plain file")
            with file.open(entry) as source:
                budget.write(source, _inside(into, entry.filename))


def _untar(archive: Path, into: Path) -> None:
    budget = _Budget()
    with tarfile.open(archive) as file:
        for entry in file:
            if entry.isdir():
                continue
            source = file.extractfile(entry) if entry.isreg() else None
            if source is None:
                raise Unusable(f"the archive's {entry.name!r} is not a plain file")
            budget.write(source, _inside(into, entry.name))


@contextmanager
def unpacked(submission: Submission, work: Path) -> Iterator[Path]:
    """The submission as a directory; an archive's is made in `work`, and removed afterwards."""
    if submission.path.is_dir():
        yield submission.path
        return
    target = work / submission.slug
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    try:
        unpack(submission.path, target)
        yield target
    finally:
        shutil.rmtree(target, ignore_errors=True)


# --- rows


@dataclass
class Row:
    """What a class's table says of one submission."""

    submission: Submission
    results: dict[str, Any]  # its results.json

    @property
    def state(self) -> str:
        """"graded", "provisional" (something could not be told), or why it was not graded."""
        if reason := self.results.get("extra_data", {}).get("not_graded"):
            return str(reason)
        if any(test["extra_data"]["verdict"] == COULD_NOT_TELL for test in self.tests):
            return "provisional"
        return "graded"

    @property
    def score(self) -> float:
        return float(self.results.get("score", 0))

    @property
    def tests(self) -> list[dict[str, Any]]:
        return list(self.results.get("tests", []))


def read_row(submission: Submission, out: Path) -> Row | None:
    """The row of a submission whose grading was completed, or None."""
    try:
        results = json.loads((out / "students" / submission.slug / "results.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return Row(submission, results) if results.get("extra_data", {}).get("complete") else None


def write_not_graded(submission: Submission, out: Path, reason: str) -> None:
    """The result of a submission that cannot be graded: no points, and the reason."""
    results = {
        "score": 0,
        "output": f"Not graded: {reason}",
        "output_format": "text",
        "tests": [],
        "extra_data": {"complete": True, "not_graded": reason},
    }
    write_atomically(out / "students" / submission.slug / "results.json", json.dumps(results, indent=1))


COLUMNS = {"plain": ("student", "score"), "moodle": ("Email address", "Grade"), "canvas": ("SIS Login ID", "Score")}


def grades_csv(rows: list[Row], name_column: str, score_column: str) -> str:
    """One row a student, one column a check, the checks of all rows in the order of their numbers."""
    checks: dict[str, tuple[list[int], str]] = {}
    for row in rows:
        for test in row.tests:
            data = test["extra_data"]
            place = [int(part) for part in str(test["number"]).split(".")]
            checks[f"{test['tags'][0]} {data['check']}"] = (place, data["check"])
    titles = sorted(checks, key=lambda title: checks[title])
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([name_column, score_column, "state", *titles])
    for row in rows:
        scores = {f"{test['tags'][0]} {test['extra_data']['check']}": test for test in row.tests}
        cells = [_cell(scores.get(title)) for title in titles]
        table.writerow([_no_formula(row.submission.name), f"{row.score:g}", _no_formula(row.state), *cells])
    return text.getvalue()


def _cell(test: dict[str, Any] | None) -> str:
    if test is None:
        return ""
    return "?" if test["extra_data"]["verdict"] == COULD_NOT_TELL else f"{test['score']:g}"


def _no_formula(text: str) -> str:
    """The text so that no spreadsheet computes it, and on one line."""
    text = printable(" ".join(text.split()))
    return "'" + text if text[:1] in "=+-@\t" else text


def statistics(rows: list[Row]) -> dict[str, Any]:
    """Of the class page: the distribution of scores, and for each check how many passed and the causes of the others."""
    graded = [row for row in rows if row.tests]
    possible = max((sum(float(test["max_score"]) for test in row.tests) for row in graded), default=100.0)
    bins = [0] * 10
    for row in graded:
        bins[min(9, int(10 * row.score / possible)) if possible else 0] += 1
    checks: dict[str, dict[str, Any]] = {}
    for row in graded:
        for test in row.tests:
            data = test["extra_data"]
            entry = checks.setdefault(
                f"{test['number']} {data['check']}",
                {"number": test["number"], "name": test["name"], "passed": 0, "of": 0, "causes": {}},
            )
            entry["of"] += 1
            entry["passed"] += data["verdict"] == PASS
            if data["verdict"] != PASS:
                cause = data["cause"] or data["verdict"]
                entry["causes"][cause] = entry["causes"].get(cause, 0) + 1
    for entry in checks.values():
        entry["causes"] = sorted(entry["causes"].items(), key=lambda item: -item[1])[:3]
    scores = sorted(row.score for row in graded)
    return {
        "possible": possible,
        "bins": bins,
        "checks": sorted(checks.values(), key=lambda entry: [int(part) for part in entry["number"].split(".")]),
        "median": scores[len(scores) // 2] if scores else 0.0,
        "graded": len(graded),
    }
