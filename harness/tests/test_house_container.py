"""Grading in a container that refuses namespaces, as root with Docker's default rights: it judges as
elsewhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks import running
from attacks.running import Surroundings
from labkit import box
from labkit.build import LABS, build

HARNESS = Path(__file__).resolve().parent.parent


pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or not box.has_landlock(),
    reason="only root of a kernel with Landlock has such a container",
)


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Surroundings]:
    for path in (tmp_path, *tmp_path.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    with running.surroundings(tmp_path, tier=3) as made:
        yield made


@pytest.mark.parametrize("lab", LABS)
def test_the_reference_has_full_marks_in_a_container(lab: str, container: Surroundings) -> None:
    build(HARNESS.parent / LABS[lab])  # the submission is the same, and need not be built again
    outcome = container.grade(HARNESS.parent, container.directory / "out", lab, checks="", names=())
    assert "(tier 3)" in outcome.printed
    assert outcome.status == 0 and outcome.results["score"] == 100, outcome.printed
