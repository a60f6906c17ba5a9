"""What grading costs: a submission beside the bare build and the bare checks that it consists of; a class,
with one job and two.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from grading.finding import exercise_files
from labkit.build import LABS

from .measures import Measure, Point, seconds_of
from .schemes import ROOT

LAB = "lab01"
STUDENTS = 8


def _timed(*command: object, of: int = 1) -> Measure:
    """Seconds for each of `of` things that the command does."""
    return lambda: {"seconds": seconds_of(command, limit=1800) / of}


def points(folder: Path) -> list[tuple[Point, Measure]]:
    """All measurements; `folder` takes a class of solutions, each a little different from the reference."""
    students, name = folder / "class", LABS[LAB]
    shutil.rmtree(students, ignore_errors=True)
    for number in range(STUDENTS):
        place = students / f"student{number}" / name
        place.mkdir(parents=True)
        for exercise in exercise_files(LAB):
            (place / exercise).write_text((ROOT / name / exercise).read_text() + f"// {number}\n")
    grade, grade_class, out = ROOT / "harness/grade", ROOT / "harness/grade-class", folder / "class.out"
    whole = [grade_class, students, "--labs", LAB, "--out", out, "--again", "--jobs"]
    measures = {
        "make": _timed("make", "-B", "-s", "-j2", "-C", ROOT / name, "all"),
        "its checks, without a sandbox": _timed(grade, LAB, "--no-sandbox", "--quiet", "--out", out),
        "one submission": _timed(grade, LAB, "--submission", students / "student0", "--quiet", "--out", out),
        f"each of {STUDENTS}, one job on one processor": _timed("taskset", "-c", 0, *whole, 1, of=STUDENTS),
        f"each of {STUDENTS}, one job": _timed(*whole, 1, of=STUDENTS),
        f"each of {STUDENTS}, two jobs": _timed(*whole, 2, of=STUDENTS),
    }
    return [(Point(f"grading of {LAB}", what), measure) for what, measure in measures.items()]
