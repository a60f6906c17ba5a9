"""Neighbours differ by their lesson, and programs are short: ARCHITECTURE.md has the numbers, held here."""

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


def code_lines(program: Path) -> int:
    """The lines of a source that are no comment, no #include and not empty."""
    lines = (line.strip() for line in program.read_text().splitlines())
    return sum(bool(line) and not line.startswith(("//", "#include")) for line in lines)


def test_the_programs_of_more_than_eighty_lines_are_listed_with_their_reasons() -> None:
    table = (ROOT / "ARCHITECTURE.md").read_text()
    told = {
        name: int(lines) for name, lines in re.findall(r"^\| `(lab\S+)` \| (\d+) \| \w", table, re.MULTILINE)
    }
    programs = {
        str(path.relative_to(ROOT).with_suffix("")): code_lines(path) for path in ROOT.glob("lab0*/*.cpp")
    }
    assert len(programs) > 100
    assert told == {name: lines for name, lines in programs.items() if lines > 80}
