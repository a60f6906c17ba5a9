"""handouts/kernels.md, the facts and where they were seen, held to the tests and to the handouts."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
HANDOUTS = ROOT / "handouts"
_row = re.compile(
    r"^\| (?P<statement>.+?) \| \[lab \d\]\((?P<section>lab\d\d\.md#[\w-]+)\) \| (?P<rest>.+) \|$"
)


@dataclass(frozen=True)
class Row:
    """One statement: its section, what shows it, the kernel on which it was seen, its source."""

    statement: str
    section: str
    shown_by: str
    kernel: str
    source: str


def rows() -> list[Row]:
    found = []
    for line in (HANDOUTS / "kernels.md").read_text().splitlines():
        if re.match(r"\| (?!statement)\w|\| `", line):
            parts = _row.match(line)
            assert parts, f"no row as the others: {line}"
            found.append(Row(parts["statement"], parts["section"], *parts["rest"].split(" | ")))
    return found


ROWS = rows()


def found_in(*patterns: str) -> dict[str, str]:
    """Returns the tests in these files, each with its docstring."""
    trees = [ast.parse(path.read_text()) for pattern in patterns for path in ROOT.glob(pattern)]
    functions = [node for tree in trees for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {node.name: ast.get_docstring(node) or "" for node in functions if node.name.startswith("test_")}


FACTS = {
    name: text
    for path in sorted(Path(__file__).parent.glob("test_*.py"))
    if path.name != Path(__file__).name
    for name, text in found_in(str(path.relative_to(ROOT))).items()
}
CHECKS = found_in("harness/checks/test_lab*.py")


def section_of(place: str) -> str:
    """Returns the text of a section ("lab02.md#backlog"), "" if there is none."""
    page, _, anchor = place.partition("#")
    parts = re.split(r"^(?=## )", (HANDOUTS / page).read_text(), flags=re.MULTILINE)
    return next((part for part in parts if anchor_of(part.partition("\n")[0]) == anchor), "")


def anchor_of(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")


def test_each_statement_has_its_section() -> None:
    assert len(ROWS) > 70
    assert not [row.section for row in ROWS if not section_of(row.section)]


def test_what_is_named_in_the_table_exists() -> None:
    named = [name for row in ROWS for name in re.findall(r"`(test_\w+)`", row.shown_by)]
    assert not [name for name in named if name not in FACTS and name not in CHECKS]


def test_each_fact_that_is_tested_is_in_the_table() -> None:
    named = {name for row in ROWS for name in re.findall(r"`(test_\w+)`", row.shown_by)}
    assert not [name for name in FACTS if name not in named]


def test_each_fact_that_is_tested_names_sections_that_exist() -> None:
    for name, text in FACTS.items():
        places = re.findall(r"(lab\d\d)#([\w-]+)", text)
        assert places, f"{name}: its docstring names no section"
        assert all(section_of(f"{page}.md#{anchor}") for page, anchor in places), name


def test_a_statement_is_shown_or_has_its_source() -> None:
    for row in ROWS:
        shown = re.fullmatch(r"(transcript|`test_\w+`)(, `test_\w+`)*", row.shown_by)
        assert shown or row.shown_by == "its source only", row.shown_by
        assert shown or row.source != "–", row.statement
        assert re.fullmatch(r"\d\.\d+|any|skipped" if shown else "–", row.kernel), row.kernel


def test_a_statement_with_a_transcript_has_one_in_its_section() -> None:
    with_transcript = [row.section for row in ROWS if "transcript" in row.shown_by]
    assert not [section for section in with_transcript if "```console" not in section_of(section)]
