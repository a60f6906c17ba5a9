"""The glossary: every term once, each with a source, and with the sentence that explains it."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from handouts import glossary

HANDOUTS = Path(__file__).resolve().parents[2] / "handouts"
TERMS = glossary.terms(HANDOUTS)


def test_the_page_is_what_the_handouts_say() -> None:
    """`make glossary` writes it anew."""
    assert (HANDOUTS / glossary.PAGE).read_text() == glossary.page(HANDOUTS)


def test_each_term_is_explained_once() -> None:
    twice = [name for name, count in Counter(term.name.lower() for term in TERMS).items() if count > 1]
    assert not twice and len(TERMS) >= 60


def test_each_term_has_its_sentence() -> None:
    """A whole one: of four words or more, that names the term, and ends."""
    for term in TERMS:
        word = re.sub(r"\W", "", term.name.lower())[:4]
        assert word in re.sub(r"\W", "", term.sentence.lower()), f"{term.page}: {term.name}: {term.sentence}"
        whole = len(term.sentence.split()) >= 4 and term.sentence[-1] in '.:?!")'
        assert whole, f"{term.page}: {term.sentence}"


def test_each_term_has_a_source() -> None:
    wrong = [f"{term.page}: {term.name}: {term.source}" for term in TERMS if not is_source(term.source)]
    assert not wrong, "\n".join(wrong)


def is_source(text: str) -> bool:
    return bool(glossary.SOURCE.fullmatch(text))


def test_each_page_of_the_manual_is_there() -> None:
    if not shutil.which("man") or not has_page("fork", "2"):
        pytest.skip("needs the pages of the manual: man-db, manpages-dev")
    found = [re.match(r"([a-z][\w.-]*)\((\w+)\)", term.source) for term in TERMS]
    pages = sorted({page.groups() for page in found if page})
    assert not [f"{name}({section})" for name, section in pages if not has_page(name, section)]


def has_page(name: str, section: str) -> bool:
    return subprocess.run(["man", "-w", section, name], capture_output=True).returncode == 0


def test_no_mark_is_overlooked() -> None:
    """A comment that looks like a mark and is none would be a term without an entry."""
    for page in sorted(HANDOUTS.glob("*.md")):
        marks = len(re.findall(r"<!--\s*term", page.read_text()))
        assert marks == len(list(glossary.terms_of(page.name, page.read_text()))), page.name


@pytest.mark.parametrize(
    ("text", "name", "sentence"),
    [
        ("First. A *zombie*<!-- term: wait(2) --> is dead. Last.", "zombie", "A *zombie* is dead."),
        ("It *reaps*<!-- term reap: wait(2) --> a\nchild; see [it](#there).", "reap", "[it](p.md#there)."),
        ("**Where.** A `fork`<!-- term: fork(2) --> it is: `ps`.", "fork", "A `fork` it is: `ps`."),
        ("- 1.\n- A *raw\n  one*<!-- term:\n  raw(7) --> is.\n- 3.", "raw one", "A *raw one* is."),
    ],
)
def test_a_mark_yields_its_sentence(text: str, name: str, sentence: str) -> None:
    (term,) = glossary.terms_of("p.md", f"## One, two\n\n{text}\n")
    assert (term.name, term.link) == (name, "p.md#one-two")
    assert term.sentence.endswith(sentence) and is_source(term.source)


def test_sources_become_links_for_a_browser() -> None:
    page = " ".join(glossary.page(HANDOUTS, links=True).split())
    assert "[wait(2)](https://man7.org/linux/man-pages/man2/wait.2.html)" in page
    assert "[RFC 896](https://www.rfc-editor.org/rfc/rfc896)" in page
