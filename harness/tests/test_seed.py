"""What checks draw: for a mark nobody knows it beforehand, it is told, and it can be had again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from attacks.running import LAB, copy_of_reference

HARNESS = Path(__file__).resolve().parent.parent
CHECKS = '''
from labkit import Failed, Lab, check


@check(points=1, read="first-server")
def test_it_draws(lab: Lab) -> None:
    """What was drawn is told."""
    raise Failed(f"drawn: {lab.random.getrandbits(64)}")
'''


@pytest.fixture
def checks(tmp_path: Path) -> Path:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks" / "test_lab02_seed.py").write_text(CHECKS)
    copy_of_reference(tmp_path / "work" / LAB)
    return tmp_path / "checks"


def graded(checks: Path, *options: str | Path) -> tuple[int, str, dict[str, Any]]:
    """Grades lab02 by the one check; returns the seed, what it has drawn, and all results."""
    out = checks.parent / "out"
    command: list[str | Path] = [HARNESS / "grade", "lab02", "--checks", checks, "--out", out, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((out / "results.json").read_text())
    (test,) = results["tests"]
    drawn = [line for line in test["output"].splitlines() if "drawn: " in line]
    return results["extra_data"]["seed"], drawn[0], results


def test_for_a_mark_the_seed_is_drawn_and_told(checks: Path) -> None:
    submission = ("--submission", checks.parent / "work")
    seed, drawn, results = graded(checks, *submission)
    other, drawn_then, _ = graded(checks, *submission)
    assert seed != other and drawn != drawn_then
    assert f"--seed {seed}." in results["output"]
    assert graded(checks, *submission, "--seed", str(seed))[:2] == (seed, drawn)


def test_for_ones_own_code_it_is_always_the_same(checks: Path) -> None:
    first = graded(checks)
    assert first[0] == 1
    assert graded(checks, "--seed", "1")[:2] == first[:2]
    assert graded(checks, "--seed", "2")[1] != first[1]
