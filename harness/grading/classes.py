"""A class: finds its submissions, has archives unpacked, and writes the rows of all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .model import COULD_NOT_TELL, PASS, Unusable
from .text import printable
from .writers import write_atomically

UNPACK_MEMORY, UNPACK_SECONDS = 1 << 30, 60  # of address space and of CPU time, for one archive
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")  # a submission, too, but one that nobody can unpack here


@dataclass(frozen=True)
class Submission:
    """One student's work: `name` is what the class calls it, `slug` a file name made of it."""

    name: str
    slug: str
    path: Path


def submissions(directory: Path) -> tuple[list[Submission], list[str]]:
    """The sub-directories and archives of a directory, by name; and the names of what is neither, dot files apart.

    Throws Unusable if there is no submission.
    """
    if not directory.is_dir():
        raise Unusable(f"{directory}: there is no such directory")
    found: list[Submission] = []
    others: list[str] = []
    for path in sorted(directory.iterdir(), key=lambda entry: entry.name):
        name = path.name
        if name.startswith("."):
            continue
        ending = next((end for end in _ARCHIVES + _OTHER_ARCHIVES if name.lower().endswith(end)), "")
        if path.is_symlink() or not (path.is_dir() or (path.is_file() and ending)):
            others.append(name.encode("utf-8", "replace").decode())
            continue
        if path.is_file():
            name = name[: -len(ending)]
        name = name.encode("utf-8", "replace").decode()
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip(".") or "_"
        if slug != name or any(other.slug == slug for other in found):
            slug += "-" + hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        found.append(Submission(name, slug, path))
    if not found:
        raise Unusable(f"{directory} has no sub-directory and no archive: one submission each is expected")
    return found, others


def unpack(archive: Path, into: Path) -> None:
    """Unpacks an archive under limits (unpack.py). Throws Unusable if it is at fault, OSError if this machine is."""
    if not archive.name.lower().endswith(_ARCHIVES):
        raise Unusable(f"{archive.suffix} archives cannot be unpacked: hand in a zip or tar file")
    limits = ["/usr/bin/prlimit", f"--as={UNPACK_MEMORY}", f"--cpu={UNPACK_SECONDS}", "--"]
    into.mkdir(parents=True)
    command = [*limits, "/usr/bin/python3", "-I", str(Path(__file__).with_name("unpack.py"))]
    command += [str(archive.absolute()), str(into)]
    run = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace")
    if run.returncode == 3:
        raise OSError(run.stderr.strip())
    if run.returncode != 0:
        raise Unusable(run.stderr.strip() if run.returncode == 1 else "the archive takes too much to unpack")


def _lone_archive(directory: Path) -> Path | None:
    """The archive that is all there is in a directory: so Moodle hands out what was handed in as a file."""
    entries = [path for path in directory.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    lone = entries[0] if len(entries) == 1 and entries[0].is_file() and not entries[0].is_symlink() else None
    return lone if lone and lone.name.lower().endswith(_ARCHIVES + _OTHER_ARCHIVES) else None


@contextmanager
def unpacked(submission: Submission, work: Path) -> Iterator[Path]:
    """The submission as a directory; an archive's, also of one in a directory or in another archive, is made in `work`,
    and removed afterwards."""
    target = work / submission.slug
    shutil.rmtree(target, ignore_errors=True)
    place = submission.path
    try:
        for depth in "123":
            archive = _lone_archive(place) if place.is_dir() else place
            if archive is None:
                break
            place = target / depth / submission.slug
            unpack(archive, place)
        yield place
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


def results_path(submission: Submission, out: Path) -> Path:
    """Where the result of a submission is, in the output directory."""
    return out / "students" / submission.slug / "results.json"


def read_row(submission: Submission, out: Path) -> Row | None:
    """The row of a submission whose grading was completed, or None."""
    try:
        results = json.loads(results_path(submission, out).read_text(encoding="utf-8"))
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
    write_atomically(results_path(submission, out), json.dumps(results, indent=1))


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
        entry["causes"] = Counter(entry["causes"]).most_common(3)
    scores = sorted(row.score for row in graded)
    return {
        "possible": possible,
        "bins": bins,
        "checks": sorted(checks.values(), key=lambda entry: [int(part) for part in entry["number"].split(".")]),
        "median": scores[len(scores) // 2] if scores else 0.0,
        "graded": len(graded),
    }
