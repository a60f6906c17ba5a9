"""The clinic: a fault from the kill matrix, chosen by a seed, and nothing that gives it away."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from grading.model import Unusable
from labkit.build import LABS
from releasing import clinic, regions
from releasing.mistakes import patches

ROOT = Path(__file__).resolve().parents[2]


def test_the_seed_chooses_the_fault_and_seeds_choose_differently() -> None:
    chosen = {seed: clinic.choose("lab02", seed)[0].name for seed in map(str, range(30))}
    assert chosen == {seed: clinic.choose("lab02", seed)[0].name for seed in chosen}
    assert len(set(chosen.values())) > 10


def test_the_release_has_the_fault_the_complaint_and_no_mark_of_it(tmp_path: Path) -> None:
    (fault,) = clinic.release("lab02", "ann", tmp_path / "clinic")
    lab = tmp_path / "clinic" / LABS["lab02"]
    different = {
        path.name
        for path in lab.glob("*.?pp")
        if path.read_text() != regions.solved((ROOT / LABS["lab02"] / path.name).read_text())
    }
    assert different == set(fault.files)
    page = (tmp_path / "clinic" / "README.md").read_text()
    assert fault.complaint in page and fault.name not in page and fault.check not in page
    assert not subprocess.run(["grep", "-rl", "SOLUTION", lab], capture_output=True, text=True).stdout


def test_several_faults_are_in_different_files_and_no_more_than_there_are() -> None:
    faults = clinic.choose("lab02", "bob", 3)
    names = [name for fault in faults for name in fault.files]
    assert len(faults) == 3 and len(names) == len(set(names))
    with pytest.raises(Unusable, match="only"):
        clinic.choose("lab02", "bob", 100)


@pytest.mark.parametrize("lab", LABS)
def test_every_lab_has_faults_for_the_clinic(lab: str) -> None:
    """A complaint tells what a user saw, not the cause: it names no function of the source."""
    said = [mistake.complaint for mistake in patches(lab) if mistake.complaint]
    assert len(said) >= 10
    assert len(said) == len(set(said))
