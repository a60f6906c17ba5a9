"""The hints: a ladder for each cause that a check can name, and none that gives the line away."""

from __future__ import annotations

import ast
import configparser
from pathlib import Path

import pytest
from grading import ladders
from labkit.build import LABS
from labkit.causes import COMMON_CAUSES
from releasing import regions

ROOT = Path(__file__).resolve().parents[2]


def sections(name: str) -> configparser.ConfigParser:
    file = configparser.ConfigParser(interpolation=None)
    file.read(ROOT / "harness" / "hints" / f"{name}.ini", encoding="utf-8")
    return file


def causes_of(lab: str) -> set[str]:
    """The names in the dictionaries of causes of a lab's checks."""
    found = set()
    for path in (ROOT / "harness" / "checks").glob(f"test_{lab}_*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Dict) and all(
                isinstance(value, (ast.Constant, ast.JoinedStr)) for value in node.values
            ):
                keys = [
                    key.value
                    for key in node.keys
                    if isinstance(key, ast.Constant) and isinstance(key.value, str)
                ]
                texts = [value.value for value in node.values if isinstance(value, ast.Constant)]
                if any(isinstance(text, str) and text.endswith(".") and " " in text for text in texts):
                    found |= {key for key in keys if key.isidentifier()}
    return found


def test_every_common_cause_has_its_ladder() -> None:
    assert not set(COMMON_CAUSES) - set(sections("common").sections())


@pytest.mark.parametrize("lab", LABS)
def test_every_cause_of_a_lab_has_its_ladder(lab: str) -> None:
    known = {*sections("common").sections(), *sections(lab).sections()}
    assert not sorted(causes_of(lab) - known)


@pytest.mark.parametrize("name", ["common", *LABS])
def test_a_ladder_has_four_rungs_and_no_line_of_a_solution(name: str) -> None:
    file = sections(name)
    solutions = {
        line.strip()
        for source in ROOT.glob("lab*/*.?pp")
        for region in regions.regions(source.read_text())
        for line in region.solution
        if len(line.strip()) > 20
    }
    for section in file.sections():
        assert list(file[section]) == list(ladders.RUNGS), section
        for text in file[section].values():
            assert not [line for line in solutions if line in text], section


def test_a_cause_without_a_ladder_gets_the_general_one() -> None:
    assert (
        ladders.ladder("lab02", None)
        == ladders.ladder("lab02", "nobody_knows")
        != ladders.ladder("lab02", "spins")
    )
