"""The reference has full marks, the checks find every known mistake and name it, and correct solutions of
another style pass.

Each mistake is graded on the check that it names. That it passes the checks before, `make mistakes` shows: it
takes three times as long.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from labkit.build import LABS

HARNESS = Path(__file__).resolve().parents[1]


@pytest.mark.parametrize("lab", LABS)
def test_full_marks_for_the_reference_and_every_mistake_found(lab: str) -> None:
    matrix = subprocess.run(
        [HARNESS / "kill-matrix", lab, "--named"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert matrix.returncode == 0, matrix.stdout


@pytest.mark.parametrize("lab", LABS)
def test_correct_solutions_of_another_style_pass(lab: str) -> None:
    matrix = subprocess.run(
        [HARNESS / "kill-matrix", lab, "--alternatives"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert matrix.returncode == 0, matrix.stdout
