"""The fenced blocks of a handout, each with the comment above it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_comment = re.compile(r"<!-- (.*?) -->")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, the comment on the line before it, its lines."""

    page: Path
    number: int  # of its first line, from 1
    language: str
    comment: str
    lines: tuple[str, ...]

    @property
    def place(self) -> str:
        return f"{self.page.name}:{self.number}"


def blocks(page: Path) -> Iterator[Block]:
    """Yields the blocks of a page in order, without those in a longer fence, which are text about blocks."""
    lines = page.read_text().splitlines()
    index = 0
    while index < len(lines):
        fence = re.match(r"(`{3,})(\w*)", lines[index])
        if fence:
            end = index + 1
            while end < len(lines) and lines[end].rstrip() != fence[1]:
                end += 1
            if len(fence[1]) == 3:
                comment = _comment.fullmatch(lines[index - 1].strip()) if index else None
                body = tuple(lines[index + 1 : end])
                yield Block(page, index + 2, fence[2], comment[1] if comment else "", body)
            index = end
        index += 1
