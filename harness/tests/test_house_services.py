"""What grading services receive, run in the layout that they document."""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from labkit.build import LABS
from releasing import regions, services

ROOT = Path(__file__).resolve().parents[2]
LAB = "lab01"  # the one that is graded quickest

# A root directory of its own, in which /autograder is the service's.
_BOX = [
    "bwrap",
    "--unshare-pid",
    "--die-with-parent",
    "--ro-bind",
    "/usr",
    "/usr",
    "--ro-bind",
    "/etc",
    "/etc",
    "--symlink",
    "usr/bin",
    "/bin",
    "--symlink",
    "usr/lib",
    "/lib",
    "--symlink",
    "usr/lib64",
    "/lib64",
    "--symlink",
    "usr/sbin",
    "/sbin",
    "--ro-bind",
    "/var",
    "/var",
    "--dev",
    "/dev",
    "--proc",
    "/proc",
    "--tmpfs",
    "/tmp",
    "--tmpfs",
    "/run",
]


@pytest.fixture
def autograder(tmp_path: Path) -> Path:
    """The directory /autograder as the service makes it: source/ from the archive, submission/, results/."""
    services.gradescope(LAB, tmp_path / "autograder.zip")
    home = tmp_path / "autograder"
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        for entry in archive.infolist():
            archive.extract(entry, home / "source")
            (home / "source" / entry.filename).chmod(entry.external_attr >> 16)
    shutil.copy(home / "source" / "run_autograder", home / "run_autograder")
    (home / "submission").mkdir()
    (home / "results").mkdir()
    return home


def graded(home: Path) -> dict[str, Any]:
    """Runs the set-up and the grading; returns results.json."""
    for command in (["bash", "source/setup.sh"], ["./run_autograder"]):
        box = [*_BOX, "--bind", str(home), "/autograder", "--chdir", "/autograder"]
        run = subprocess.run([*box, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        assert run.returncode == 0, run.stdout
    results: dict[str, Any] = json.loads((home / "results" / "results.json").read_text())
    for test in results["tests"]:
        assert {"score", "max_score", "status", "name", "number", "output", "visibility", "tags"} <= set(test)
        assert test["visibility"] in ("visible", "hidden", "after_due_date", "after_published")
        assert test["status"] in ("passed", "failed")
    return results


def submit(home: Path, form: Any) -> None:
    """Puts the lab's exercises into the submission, as `form` makes them of the sources."""
    for source in (ROOT / LABS[LAB]).glob("*.?pp"):
        if regions.regions(source.read_text()):
            (home / "submission" / source.name).write_text(form(source.read_text()))


def test_a_solution_has_full_marks_on_gradescope(autograder: Path) -> None:
    submit(autograder, regions.solved)
    results = graded(autograder)
    assert results["score"] == sum(test["max_score"] for test in results["tests"]) == 100, results


def test_a_starter_has_few_marks_on_gradescope(autograder: Path) -> None:
    submit(autograder, regions.starter)
    results = graded(autograder)
    assert results["score"] < 50
    assert any("Likely cause" in test["output"] for test in results["tests"])


def test_an_empty_submission_is_told_so(autograder: Path) -> None:
    results = graded(autograder)
    assert results["score"] == 0 and "nothing to grade" in results["output"]


def test_a_grading_that_is_cut_off_leaves_valid_results(autograder: Path) -> None:
    submit(autograder, regions.solved)
    script = autograder / "run_autograder"
    script.write_text(script.read_text().replace("MINUTES = 9", "MINUTES = 0.04"))
    assert "cut off" in graded(autograder)["output"].lower()


def test_the_autograder_holds_no_solution_and_every_check(autograder: Path) -> None:
    lines = {
        line.strip()
        for source in (ROOT / LABS[LAB]).glob("*.?pp")
        for region in regions.regions(source.read_text())
        for line in region.solution
        if len(re.sub(r"\W", "", line)) >= 20
    }
    for path in (path for path in (autograder / "source").rglob("*") if path.is_file()):
        assert not {line for line in lines if line in path.read_text()}, path
    checks = next((ROOT / "harness" / "checks").glob(f"test_{LAB}_*.py"))
    assert (autograder / "source" / checks.relative_to(ROOT)).read_bytes() == checks.read_bytes()


def test_classroom_reports_the_points_of_every_check(tmp_path: Path) -> None:
    """The workflow's own steps, and what the reporter makes of their output."""
    services.classroom(LAB, tmp_path / "repository")
    workflow = (tmp_path / "repository" / ".github/workflows/classroom.yml").read_text()
    assert "  run-autograding-tests:\n" in workflow  # the name that the service looks for
    script = re.search(r"run: \|\n((?: {10}.*\n)+)", workflow)
    assert script
    output = tmp_path / "output"
    run = subprocess.run(
        ["bash", "-e", "-c", script[1]],
        cwd=tmp_path / "repository",
        env=os.environ | {"GITHUB_OUTPUT": str(output)},
    )
    assert run.returncode == 0
    encoded = output.read_text().removeprefix("result=").strip()
    assert len(encoded) < 128 * 1024  # the reporter gets it in one environment variable
    result = json.loads(base64.b64decode(encoded))
    assert f"{LAB.upper()}_RESULTS" in workflow and f"runners: {LAB}" in workflow
    assert result["version"] == 1 and result["status"] == "fail"
    tests = json.loads((tmp_path / "repository/build/grade/results.json").read_text())["tests"]
    assert result["max_score"] == sum(test["max_score"] for test in tests)
    assert [test["score"] for test in result["tests"]] == [test["score"] for test in tests]
    assert all(test["message"] for test in result["tests"] if test["status"] != "pass")


def test_classroom_hears_of_a_grading_that_never_happened(tmp_path: Path) -> None:
    services.classroom(LAB, tmp_path / "repository")
    script = tmp_path / "repository" / ".github" / "classroom.py"
    run = subprocess.run(
        [sys.executable, script, "nothing.json", "60"], capture_output=True, text=True, check=True
    )
    result = json.loads(base64.b64decode(run.stdout.removeprefix("result=")))
    assert result["status"] == "error" and result["tests"] == [] and result["max_score"] == 60
