"""The clinic: a solved lab with faults from the kill matrix built in, and no more than the complaint of a
user.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from grading.model import ROOT, Unusable
from labkit.build import LABS

from . import regions, students
from .mistakes import Mistake, patches


def choose(lab: str, seed: str, count: int = 1) -> list[Mistake]:
    """Returns `count` mistakes of the lab, in different files, always the same ones for the same seed.

    Throws Unusable if the lab has not so many with a complaint.
    """
    known = [mistake for mistake in patches(lab) if mistake.complaint]
    known.sort(key=lambda mistake: hashlib.sha256(f"{lab} {seed} {mistake.name}".encode()).digest())
    chosen: list[Mistake] = []
    for mistake in known:
        if not set(mistake.files) & {name for other in chosen for name in other.files}:
            chosen.append(mistake)
        if len(chosen) == count:
            return chosen
    raise Unusable(f"{lab} has only {len(chosen)} faults in different files for the clinic")


def release(lab: str, seed: str, target: Path, count: int = 1) -> list[Mistake]:
    """Writes the repository with the faulty lab to `target`; returns its faults. Throws Unreleasable."""
    chosen = choose(lab, seed, count)
    extra = {
        Path(LABS[lab], source.name): regions.solved(source.read_text()).encode()
        for source in (ROOT / LABS[lab]).glob("*.?pp")
    }
    for mistake in chosen:
        for name, content in mistake.files.items():
            extra[Path(LABS[lab], name)] = regions.solved(content).encode()
    page = (students.PAGES / "CLINIC.md").read_text().replace("{lab}", lab)
    complaints = "\n".join(f"> {mistake.complaint}\n" for mistake in chosen)
    extra[Path("README.md")] = page.replace("{complaints}", complaints).encode()
    students.release(lab, target, extra)
    return chosen
