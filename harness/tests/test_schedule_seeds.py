"""Each mistake that only some schedules show is found by its check at the first run, whatever the seed.

SEEDS=100 tries so many seeds for each (the default is 5), and writes the table to build/schedules/seeds.txt.
"""

from __future__ import annotations

import importlib.util
import os
from collections import Counter
from pathlib import Path
from random import Random
from types import ModuleType

import pytest
from exploring import checking
from exploring.search import Exploration
from grading.model import ROOT
from labkit import CouldNotTell, Failed, Lab
from labkit.build import LABS, Build
from releasing.mistakes import Mistake, patches

SEEDS = int(os.environ.get("SEEDS", "5"))
CHECKS = ROOT / "harness" / "checks" / "test_lab06_8_schedules.py"
TABLE = ROOT / "build" / "schedules" / "seeds.txt"


def checks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("schedule_checks", CHECKS)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MISTAKES = [mistake for mistake in patches("lab06") if hasattr(checks(), f"test_{mistake.check}")]


class Drawing(Random):
    """Remembers whether anything was drawn: if not, another seed changes nothing."""

    drawn = False

    def getrandbits(self, k: int) -> int:
        self.drawn = True
        return super().getrandbits(k)


def at_once(_lab: Lab, name: str, *_: object) -> Failed:
    """The failure without its drawing, which takes time."""
    found = _[-1]
    assert isinstance(found, Exploration) and found.finding is not None
    return Failed(f"{name}: {found.finding.what}", cause=found.finding.cause)


def judged(lab: Lab, check: str) -> str:
    """The cause that the check names, or why it names none."""
    try:
        getattr(checks(), f"test_{check}")(lab)
    except Failed as failure:
        return str(failure.cause)
    except CouldNotTell as reason:
        return f"could not tell: {reason}"
    return "it survives"


def test_there_are_thirty_mistakes_that_need_a_schedule() -> None:
    assert len(MISTAKES) >= 30


@pytest.mark.parametrize("mistake", MISTAKES, ids=[mistake.name for mistake in MISTAKES])
def test_each_seed_kills_it(mistake: Mistake, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_failure", at_once)
    mistake.make(tmp_path)
    build = Build(tmp_path / LABS["lab06"], on_demand=True)
    (tmp_path / "given").mkdir()
    causes: Counter[str] = Counter()
    for seed in range(1, SEEDS + 1):
        scratch = tmp_path / f"scratch-{seed}"
        scratch.mkdir()
        random = Drawing(seed)
        lab = Lab({"lab06": build}, "lab06", scratch, preloaded=ROOT / "build" / "preload", random=random)
        cause = judged(lab, mistake.check)
        causes[cause] += 1
        if not random.drawn:
            causes[cause] += SEEDS - seed
            break
    TABLE.parent.mkdir(parents=True, exist_ok=True)
    with TABLE.open("a") as table:
        told = ", ".join(f"{cause} {count}" for cause, count in causes.most_common())
        table.write(f"{mistake.name:<45} {SEEDS:>4} seeds: {told}\n")
    assert set(causes) == {mistake.cause}
