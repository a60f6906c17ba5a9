"""The SOLUTION regions of a source: one text holds the solution and the starter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

MOST_REGIONS = 3  # of one file
WIDEST = 110  # columns of the line that a student reads

_begin = re.compile(r"([ \t]*)// BEGIN SOLUTION: (\S.*\.)\n")
_end = re.compile(r"[ \t]*// END SOLUTION\n")
_marker = re.compile(r"\b(BEGIN|END)\s+SOLUTION\b")


class Malformed(Exception):
    """The markers of a source do not pair up; the message has the line."""


@dataclass(frozen=True)
class Region:
    """One exercise: `lines[0]` is the line BEGIN, `lines[-1]` the line END, each with its newline."""

    first: int  # the number of the line BEGIN, from 0
    indent: str
    sentence: str
    lines: tuple[str, ...]

    @property
    def todo(self) -> str:
        return f"{self.indent}// TODO: {self.sentence}\n"

    @property
    def solution(self) -> tuple[str, ...]:
        return self.lines[1:-1]


def regions(text: str) -> list[Region]:
    """Returns the regions in order. Throws Malformed."""
    found: list[Region] = []
    opened: tuple[int, str, str] | None = None
    lines = text.splitlines(keepends=True)
    for number, line in enumerate(lines):
        begin = _begin.fullmatch(line)
        if begin and not opened:
            opened = number, begin[1], begin[2]
        elif _end.fullmatch(line) and opened:
            found.append(Region(*opened, tuple(lines[opened[0] : number + 1])))
            opened = None
        elif _marker.search(line):
            raise Malformed(f"line {number + 1}: {line.strip()}")
    if opened:
        raise Malformed(f"line {opened[0] + 1}: no END SOLUTION follows")
    return found


def starter(text: str, only: int | None = None) -> str:
    """Returns the source with a TODO for each region; for region number `only` alone, if given, the others
    solved.
    """
    return _replaced(
        text, lambda number, region: region.todo if only in (None, number) else "".join(region.solution)
    )


def solved(text: str) -> str:
    """Returns the source with its solutions and without markers, as a later lab has it."""
    return _replaced(text, lambda _, region: "".join(region.solution))


def restored(text: str, solution: str) -> str:
    """Returns a starter with each TODO replaced by the region of `solution` that it stands for. Throws
    Malformed.
    """
    for region in regions(solution):
        if text.count(region.todo) != 1:
            raise Malformed(f"not exactly one line: {region.todo.strip()}")
        text = text.replace(region.todo, "".join(region.lines))
    return text


def _replaced(text: str, substitute: Callable[[int, Region], str]) -> str:
    lines = text.splitlines(keepends=True)
    for number, region in reversed(list(enumerate(regions(text)))):
        lines[region.first : region.first + len(region.lines)] = [substitute(number, region)]
    return "".join(lines)
