"""A class: finds its submissions, has archives unpacked, and writes the rows of all."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import re
import shutil
import subprocess
import unicodedata
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit.box import remove
from labkit.kernel import NOTHING

from .model import COULD_NOT_TELL, PASS, Unusable
from .text import printable
from .writers import write_atomically

UNPACK_MEMORY, UNPACK_SECONDS = 1 << 30, 60  # of address space and of CPU time, for one archive
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tbz2", ".tar.xz", ".txz")
# A submission, too, but one that cannot be unpacked here.
_OTHER_ARCHIVES = (".rar", ".7z", ".gz", ".bz2", ".xz", ".zst")
_SOURCES = (".cpp", ".hpp")
# For example doejane_LATE_12345_67890_upper_server-1.cpp.
_OF_A_COMPUTER = re.compile(r"\._.*|\.DS_Store|\.git|\.gitignore|\.gitkeep")  # no student's
_CANVAS = re.compile(r"(?P<who>.+?)(?:_LATE)?_(?P<user>\d+)_\d+_.+")
_MOODLE = re.compile(r"(?P<who>.+)_assignsubmission_(?P<kind>file|onlinetext)_?")


@dataclass(frozen=True)
class Submission:
    """One student's work: `name` is what the class calls it, `slug` a file name made of it."""

    name: str
    slug: str
    path: Path  # a directory, an archive, or the first of `files`
    files: tuple[Path, ...] = ()  # where a service hands out one student's files beside everybody else's


def submissions(directory: Path) -> tuple[list[Submission], list[str]]:
    """The submissions in a directory, by name; and the names of what is none, but for a computer's own files.

    They are sub-directories, archives, and sources that a service has named for their student.

    Throws Unusable if there is no submission.
    """
    if not directory.is_dir():
        raise Unusable(f"{directory}: there is no such directory")
    found: list[Submission] = []
    others: list[str] = []
    flat: dict[str, list[Path]] = {}
    entries = sorted(directory.iterdir(), key=lambda entry: entry.name)
    with_files = {
        match["who"]
        for path in entries
        if (match := _MOODLE.fullmatch(path.name)) and match["kind"] == "file"
    }

    def add(name: str, path: Path, files: tuple[Path, ...] = ()) -> None:
        name = name.encode("utf-8", "replace").decode()
        slug = re.sub(r"[^A-Za-z0-9._-]+", "_", name)[:60].strip(".-") or "_"
        if slug != name or any(other.slug == slug for other in found):
            slug += "-" + hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()[:8]
        found.append(Submission(name, slug, path, files))

    for path in (path for path in entries if not _OF_A_COMPUTER.fullmatch(path.name)):
        ending = next((end for end in _ARCHIVES + _OTHER_ARCHIVES if path.name.lower().endswith(end)), "")
        canvas, moodle = _CANVAS.fullmatch(path.name), _MOODLE.fullmatch(path.name)
        if path.is_file() and not path.is_symlink() and canvas and path.suffix in _SOURCES:
            flat.setdefault(f"{canvas['who']}_{canvas['user']}", []).append(path)
        elif path.name[0] == "." or path.is_symlink() or not (path.is_dir() or (path.is_file() and ending)):
            others.append(path.name.encode("utf-8", "replace").decode())
        elif moodle and moodle["kind"] == "onlinetext" and moodle["who"] in with_files:
            others.append(path.name)  # what was typed beside the files
        else:
            add(path.name[: -len(ending)] if path.is_file() else path.name, path)
    for name, files in flat.items():
        add(name, files[0], tuple(files))
    if not found:
        raise Unusable(f"{directory} has no sub-directory and no archive: one submission each is expected")
    return sorted(found, key=lambda submission: submission.name), others


def unpack(archive: Path, into: Path) -> list[str]:
    """Unpacks an archive under limits (unpack.py); returns what it says of what it passed over.

    Throws Unusable if the archive is at fault, OSError if this machine is.
    """
    if not archive.name.lower().endswith(_ARCHIVES):
        raise Unusable(f"{archive.suffix} archives cannot be unpacked: hand in a zip or tar file")
    limits = ["/usr/bin/prlimit", f"--as={UNPACK_MEMORY}", f"--cpu={UNPACK_SECONDS}", "--"]
    into.mkdir(parents=True)
    command = [*limits, "/usr/bin/python3", "-I", "-X", "utf8", str(Path(__file__).with_name("unpack.py"))]
    command += [str(archive.absolute()), str(into)]
    pipe = subprocess.PIPE
    run = subprocess.run(command, env=NOTHING, stdout=pipe, stderr=pipe, text=True, errors="replace")
    if run.returncode == 3:
        raise OSError(run.stderr.strip())
    said = run.stdout.splitlines()
    notes = said[:5] + ([f"{len(said) - 5} more were passed over."] if len(said) > 5 else [])
    if run.returncode != 0:
        raise Unusable(run.stderr.strip() if run.returncode == 1 else "the archive takes too much to unpack")
    return notes


def _archive_in(directory: Path) -> Path | None:
    """The archive in a directory that has no source beside it: so services hand out what was one file.

    Throws Unusable if there are several.
    """
    entries = [path for path in directory.iterdir() if not path.name.startswith((".", "__MACOSX"))]
    archives = [
        path
        for path in entries
        if path.is_file()
        and not path.is_symlink()
        and path.name.lower().endswith(_ARCHIVES + _OTHER_ARCHIVES)
    ]
    if not archives or any(path.suffix in _SOURCES or path.is_dir() for path in entries):
        return None
    if len(archives) > 1:
        raise Unusable(f"there are several archives: {', '.join(path.name for path in archives)}: leave one")
    return archives[0]


@contextmanager
def unpacked(submission: Submission, work: Path) -> Iterator[tuple[Path, list[str]]]:
    """The submission as a directory, and notes on how it became one.

    What has to be made for that, of an archive (also one in a directory or in another archive) or of single
    files, is made in `work`, and removed afterwards.
    """
    target = work / submission.slug
    remove(target)
    place = submission.path
    notes: list[str] = []
    try:
        if submission.files:
            place = target / "files"
            place.mkdir(parents=True)
            for file in submission.files:
                shutil.copy(file, place, follow_symlinks=False)
        for depth in "123":
            archive = _archive_in(place) if place.is_dir() else place
            if archive is None:
                break
            place = target / depth / submission.slug
            notes += unpack(archive, place)
        moodle = _MOODLE.fullmatch(submission.path.name)
        if moodle and moodle["kind"] == "onlinetext":
            raise Unusable("only text was typed into Moodle's editor (onlinetext): ask for the files")
        yield place, notes
    except Unusable as error:
        raise Unusable(" ".join([str(error), *notes])) from None
    finally:
        remove(target)


def time_left(elapsed: float, graded: int, of: int, jobs: int) -> str:
    """How long the rest of a class will take, in words: as long for each as those that were graded so far.

    Asked when one has ended: of the other `jobs` that are being graded, half is done on the average.
    """
    under_way = min(jobs - 1, of - graded) / 2
    seconds = elapsed / (graded + under_way) * (of - graded - under_way)
    if of == graded:
        return "done"
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{max(1, round(seconds))} s left"
    return f"{minutes} min left" if minutes < 120 else f"{minutes // 60} h {minutes % 60:02} left"


# --- rows


@dataclass
class Row:
    """What a class's table says of one submission."""

    submission: Submission
    results: dict[str, Any]  # its results.json

    @property
    def state(self) -> str:
        """ "graded", "provisional" (something could not be told), or why it was not graded."""
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


def cut_off(submission: Submission) -> Row:
    """The row of a submission whose grading did not come to its end."""
    return Row(
        submission,
        {"score": 0, "extra_data": {"not_graded": "its grading was cut off: run grade-class again"}},
    )


def untold(rows: list[Row], many: int = 3) -> list[str]:
    """The submissions of which so many checks or more could not be told, and how many."""
    counts = {
        row.submission.name: sum(test["extra_data"]["verdict"] == COULD_NOT_TELL for test in row.tests)
        for row in rows
    }
    return [f"{printable(name)} ({count})" for name, count in counts.items() if count >= many]


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


COLUMNS = {
    "plain": ("student", "score"),
    "moodle": ("Email address", "Grade"),
    "canvas": ("SIS Login ID", "Score"),
}


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
    """The text so that no spreadsheet computes it, and on one line. Some take other forms of = + - @ for
    these.
    """
    text = printable(" ".join(text.split()))
    first = unicodedata.normalize("NFKD", text)[:1]
    return text if first.isalnum() or first in ("", "_", "'") else "'" + text


def statistics(rows: list[Row]) -> dict[str, Any]:
    """Of the class page: the distribution of scores; for each check how many passed, and causes."""
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
        "checks": sorted(
            checks.values(), key=lambda entry: [int(part) for part in entry["number"].split(".")]
        ),
        "median": scores[len(scores) // 2] if scores else 0.0,
        "graded": len(graded),
    }
