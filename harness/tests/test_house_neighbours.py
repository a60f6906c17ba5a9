"""Neighbours differ by their lesson: ARCHITECTURE.md tells by how many lines, and this holds it to that."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def differing(one: Path, other: Path) -> int:
    """How many lines stand in one of the two files only."""
    here, there = (path.with_suffix(".cpp").read_text().splitlines() for path in (one, other))
    lines = difflib.unified_diff(here, there, lineterm="", n=0)
    return sum(line[0] in "+-" and not line.startswith(("+++", "---")) for line in lines)


def test_the_table_of_neighbours_is_current() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text()
    rows = re.findall(r"^\| `(lab\S+)` \| `(lab\S+)` \| (\d+) \|$", table, re.MULTILINE)
    assert len(rows) >= 18
    stale = [
        f"{one} {other}: {lines}, now {now}"
        for one, other, lines in rows
        if (now := differing(ROOT / one, ROOT / other)) != int(lines)
    ]
    assert not stale, "\n".join(stale)
