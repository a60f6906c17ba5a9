"""Every lab's solution, graded as a submission: full marks in the sandbox of this machine, and in a container
that refuses namespaces, as root with Docker's default capabilities.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from attacks import running
from labkit import box
from labkit.build import LABS, build

ROOT = Path(__file__).resolve().parent.parent.parent

CONTAINER = pytest.mark.skipif(
    os.geteuid() != 0 or not box.has_landlock(),
    reason="only root of a kernel with Landlock has such a container",
)


@pytest.mark.parametrize("tier", [0, pytest.param(3, marks=CONTAINER)], ids=["the sandbox", "a container"])
@pytest.mark.parametrize("lab", LABS)
def test_the_solution_has_full_marks_in(tier: int, lab: str, tmp_path: Path) -> None:
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    with running.surroundings(tmp_path, tier) as around:
        build(ROOT / LABS[lab])  # the submission is the same, and need not be built again
        outcome = around.grade(ROOT, tmp_path / "out", lab, checks="", names=())
    assert not tier or f"(tier {tier})" in outcome.printed
    assert outcome.status == 0 and outcome.results["score"] == 100, outcome.printed
