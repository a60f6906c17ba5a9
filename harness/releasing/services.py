"""What grading services receive: an autograder for Gradescope, a repository for GitHub Classroom."""

from __future__ import annotations

import zipfile
from pathlib import Path

from grading.model import HARNESS, ROOT, Term

from . import students
from .visible import visible_points

_LONG_AGO = (1980, 1, 1, 0, 0, 0)  # the same content makes the same archive


def gradescope(lab: str, archive: Path, depth: str | None = None) -> None:
    """Writes the autograder: the students' repository, but with every check, and what the service starts.

    It holds no solution of the lab, so that nothing which is graded there can find one.
    """
    content = students.files(lab, depth)
    for path in [path for path in content if path.parts[0] == "handouts"]:
        del content[path]
    for checks in (HARNESS / "checks").glob(f"test_{lab}_*.py"):
        content[checks.relative_to(ROOT)] = checks.read_bytes()
    content[Path("harness/term.ini")] = (HARNESS / "term.ini").read_bytes()
    for name in ("setup.sh", "run_autograder"):
        content[Path(name)] = _page(name, lab)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(content):
            entry = zipfile.ZipInfo(str(path), _LONG_AGO)
            entry.external_attr = students.mode(content[path]) << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(entry, content[path])


def classroom(lab: str, target: Path, depth: str | None = None) -> None:
    """Writes the students' repository with a workflow that grades each push and reports the points."""
    checks = [path.read_text() for path in (HARNESS / "checks").glob(f"test_{lab}_*.py")]
    points = sum(visible_points(source, lab, Term()) for source in checks)
    workflow = {
        Path(".github/workflows/classroom.yml"): _page("classroom.yml", lab, f"{points:g}"),
        Path(".github/classroom.py"): _page("classroom.py", lab),
    }
    students.release(lab, target, workflow, depth)


def _page(name: str, lab: str, points: str = "") -> bytes:
    text = (students.PAGES / name).read_text()
    return text.replace("{lab}", lab).replace("{LAB}", lab.upper()).replace("{points}", points).encode()
