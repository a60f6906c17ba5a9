"""A quotation stands in the file that it names, and shows nothing of what a student is to write."""

from __future__ import annotations

import textwrap
from pathlib import Path

from .blocks import Block

LONGEST = 25
LONGEST_SKETCH = 15
_left_out = "// …"


def faults(block: Block, root: Path) -> list[str]:
    """Returns what is wrong with a block of code, a sentence each."""
    kind, _, name = block.comment.partition(" ")
    if kind == "quote":
        return _quotation_faults(block, root / name)
    if block.language != "cpp":
        return []
    if block.comment != "sketch":
        return ["code needs <!-- quote FILE --> or <!-- sketch --> on the line above it"]
    if len(block.lines) > LONGEST_SKETCH:
        return [f"a sketch of {len(block.lines)} lines, where {LONGEST_SKETCH} are the most"]
    return []


def _quotation_faults(block: Block, path: Path) -> list[str]:
    if not path.is_file():
        return [f"there is no file {path.name}"]
    if len(block.lines) > LONGEST:
        return [f"a quotation of {len(block.lines)} lines, where {LONGEST} are the most"]
    wanted = _dedented(list(block.lines))
    source = path.read_text().splitlines()
    for start in range(len(source)):
        used = _match(wanted, source, start)
        if used:
            solution = _solution_lines(source)
            return [f"shows a student's task: {source[i].strip()}" for i in used if i in solution]
    first = next(
        (line for line in wanted if line not in _dedented_forms(source)), wanted[0] if wanted else ""
    )
    return [f"does not stand in {path.name} as quoted; look at: {first.strip()}"]


def _match(wanted: list[str], source: list[str], start: int) -> list[int]:
    """Returns the numbers of the lines quoted if the quotation begins at `start`, else nothing."""
    indent = len(source[start]) - len(source[start].lstrip())
    used: list[int] = []
    position, skipping = start, False
    for line in wanted:
        if line.strip() == _left_out:
            skipping = True
            continue
        while position < len(source) and not _same(line, source[position], indent):
            if not skipping:
                return []
            position += 1
        if position == len(source):
            return []
        used.append(position)
        position, skipping = position + 1, False
    return used


def _same(line: str, source_line: str, indent: int) -> bool:
    if source_line[:indent].strip():
        return False
    return line.rstrip() == source_line[indent:].rstrip()


def _dedented(lines: list[str]) -> list[str]:
    return textwrap.dedent("\n".join(lines)).split("\n")


def _dedented_forms(source: list[str]) -> set[str]:
    return {line[cut:] for line in source for cut in range(len(line) - len(line.lstrip()) + 1)}


def _solution_lines(source: list[str]) -> set[int]:
    """Returns the numbers of the lines in SOLUTION regions, markers included."""
    inside, found = False, set()
    for number, line in enumerate(source):
        inside = inside or "BEGIN SOLUTION" in line
        if inside:
            found.add(number)
        if "END SOLUTION" in line:
            inside = False
    return found
