"""A students' repository: one lab with its TODOs, the earlier labs solved, and what grades them."""

from __future__ import annotations

import configparser
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from grading.model import HARNESS, ROOT, Term, Unusable
from labkit.build import LABS

from . import depths, regions
from .visible import visible_checks

PAGES = Path(__file__).resolve().parent / "pages"
TOP = ("Makefile", "LICENSE", ".clang-format", ".editorconfig", ".gitignore", ".devcontainer")
COMMANDS = ("setup", "doctor", "grade", "watch", "hint", "trace", "schedules", "replay", "compile-commands")
MODULES = ("labkit", "grading", "tracing", "exploring")
_SOURCES = ("Makefile", "*.?pp", "tests/*.?pp")
_QUOTE = re.compile(r"^<!-- quote (\S+) -->\n```.*?^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(!?)\[([^]]*)\]\(([^):#]+)(#[^)]*)?\)")


class Unreleasable(Unusable):
    """The release cannot be written; the message says why."""


def release(lab: str, target: Path, extra: dict[Path, bytes] | None = None, depth: str | None = None) -> None:
    """Writes the repository for a lab ("lab05") to `target`, in place of an earlier release. Throws
    Unreleasable.

    depth: "guided" or "build" for every exercise of the lab; None: build for its main programs, guided for
    the others.
    """
    released = (target / "harness" / "grade").exists() and not (target / "harness" / "release").exists()
    if target.exists() and not released:
        raise Unreleasable(f"{target} is there already, and no release")
    unfinished = target.with_name(f".{target.name}.new")
    shutil.rmtree(unfinished, ignore_errors=True)
    for path, content in (files(lab, depth) | (extra or {})).items():
        copy = unfinished / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(content)
        copy.chmod(mode(content))
    if (target / ".git").exists():  # what was pushed before stays its history
        (target / ".git").rename(unfinished / ".git")
    shutil.rmtree(target, ignore_errors=True)
    unfinished.rename(target)


def mode(content: bytes) -> int:
    """Returns the permissions of a released file: what begins with #! is a command."""
    return 0o755 if content.startswith(b"#!") else 0o644


def files(lab: str, depth: str | None = None) -> dict[Path, bytes]:
    """Returns every file of the release: its path, and what it holds. depth: as in release()."""
    released: dict[Path, bytes] = {}
    known = [name for name in LABS if name <= lab]
    for name in known:
        for source in _matching(ROOT / LABS[name], _SOURCES):
            text = source.read_text()
            if name == lab:
                text = depths.starter(lab, source.name, text, depths.depth_of(lab, source.name, depth))
            released[source] = regions.solved(text).encode()
        for checks in _matching(HARNESS / "checks", (f"test_{name}_*.py",)):
            released[checks] = visible_checks(checks.read_text(), name, Term()).encode()
        for hints in _matching(HARNESS / "hints", (f"{name}.ini", "common.ini")):
            released[hints] = hints.read_bytes()
        pages = (f"{name}.md", f"contracts/{name}.md", f"{name}*.svg", f"pictures/{name}*")
        for page in _matching(ROOT / "handouts", pages):
            released[page] = page.read_bytes()
    for path in [*(ROOT / name for name in TOP), *(HARNESS / name for name in (*COMMANDS, *MODULES))]:
        for file in path.rglob("*") if path.is_dir() else [path]:
            if file.is_file() and "__pycache__" not in file.parts:
                released[file] = file.read_bytes()
    readme = (PAGES / "README.md").read_text().replace("{lab}", lab)
    released[ROOT / "README.md"] = readme.replace("{exercises}", _exercises(lab, depth)).encode()
    released[HARNESS / "term.ini"] = _term(known).encode()
    contracts = ROOT / "handouts" / "contracts" / "README.md"
    released[contracts] = contracts.read_bytes()
    index = ROOT / "handouts" / "README.md"
    for page in _linked([index, *(path for path in released if path.match("handouts/lab*.md"))]):
        released[page] = page.read_bytes()
    released[index] = _without_dead_lines(index, released).encode()
    for page in [path for path in released if path.suffix == ".md" and "handouts" in path.parts]:
        text = _without_own_code(page.read_text(), lab, depth)
        released[page] = _without_dead_links(text, page, released).encode()
    return {path.relative_to(ROOT): content for path, content in released.items()}


def _matching(folder: Path, patterns: Iterable[str]) -> list[Path]:
    return sorted(path for pattern in patterns for path in folder.glob(pattern))


def _linked(pages: list[Path]) -> set[Path]:
    """Returns the pages for all labs that these lead to; never those for instructors."""
    links = {page.parent / link[3] for page in pages for link in _LINK.finditer(page.read_text())}
    pattern = re.compile(r"(?!lab\d\d|instructors|answers)[a-z]\w*\.md")
    return {path for path in links if path.parent.name == "handouts" and pattern.fullmatch(path.name)}


def _without_dead_lines(index: Path, released: dict[Path, bytes]) -> str:
    """Returns the index of the handouts without the lines that lead to what is not in the release."""
    lines = index.read_text().splitlines(keepends=True)
    kept = [
        line for line in lines if not any(_is_dead(link, index, released) for link in _LINK.finditer(line))
    ]
    return "".join(kept).rstrip() + "\n"


def _without_own_code(text: str, lab: str, depth: str | None) -> str:
    """Returns the page's text without its quotations of what the student writes from the contract."""

    def kept(quote: re.Match[str]) -> str:
        path = ROOT / quote[1]
        own = path.parent.name == LABS[lab] and regions.regions(path.read_text())
        if own and depths.depth_of(lab, path.name, depth) == "build":
            return f"*(This is yours to write, in `{path.name}`.)*"
        return quote[0]

    return _QUOTE.sub(kept, text)


def _without_dead_links(text: str, page: Path, released: dict[Path, bytes]) -> str:
    """Returns the page's text with only the words of a link that leads to what is not in the release. Code
    stays as it is."""
    parts = re.split(r"(^```.*?^```$|`[^`\n]+`)", text, flags=re.MULTILINE | re.DOTALL)
    for place in range(0, len(parts), 2):
        parts[place] = _LINK.sub(
            lambda link: link[2] if _is_dead(link, page, released) else link[0], parts[place]
        )
    return "".join(parts)


def _is_dead(link: re.Match[str], page: Path, released: dict[Path, bytes]) -> bool:
    target = Path(os.path.normpath(page.parent / link[3]))
    return target not in released and not any(target in path.parents for path in released)


def _exercises(lab: str, depth: str | None) -> str:
    """Returns the lab's exercises, a line each: whether it is written from its contract or completed."""
    lines = []
    for source in _matching(ROOT / LABS[lab], ("*.?pp",)):
        if regions.regions(source.read_text()):
            to_do = (
                "write it from its contract"
                if depths.depth_of(lab, source.name, depth) == "build"
                else "complete it"
            )
            lines.append(f"- `{source.name}`: {to_do}\n")
    return "".join(lines).rstrip()


def _term(labs: list[str]) -> str:
    """Returns this term's points without a word on hidden checks."""
    file = configparser.ConfigParser()
    file.read(HARNESS / "term.ini", encoding="utf-8")
    text = "# Points of this term, where they differ from what the checks say of themselves.\n"
    for lab in labs:
        entries = file[lab].items() if file.has_section(lab) else []
        visible = [f"{check} = {entry}\n" for check, entry in entries if not entry.endswith("hidden")]
        text += f"\n[{lab}]\n" + "".join(visible) if visible else ""
    return text
