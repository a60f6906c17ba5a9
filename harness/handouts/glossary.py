"""The glossary: each term of the field, and the sentence of a handout that explains it.

A term is marked where it is explained, by a comment that no reader sees, with its source:
`*zombie*<!-- term: wait(2) -->`. `*reaps*<!-- term reap: wait(2) -->` gives it another form in the
glossary than in the text.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PAGE = "glossary.md"

_mark = re.compile(r"<!-- term(?: ([^:]+?))?:\s+(.+?) -->", re.DOTALL)
_emphasised = re.compile(r"(?:\*{1,2}|`)([^*`]+)(?:\*{1,2}|`)$")
_comment = re.compile(r"<!-- .*? -->", re.DOTALL)
_fence = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_sentence_end = re.compile(r"(?<=[.!?])[*\"”]{0,2}\s+(?=[^a-z\s])")
_manual = re.compile(r"\b([a-z][\w.-]*)\((\d)(type)?\)")
_rfc = re.compile(r"\bRFC (\d+)")

# A source: a page of the manual, an RFC, a section of the standard, a proposal of Python, a book, a paper.
SOURCE = re.compile(
    r"[a-z][\w.-]*\(\d(type)?\)|RFC \d+(, [\d.]+)?|C\+\+20, \[[\w.]+\]|PEP \d+"
    r"|(Kerrisk|Stevens, UNP|Williams),? [\d.]+|[A-Z]\w+( and (others|[A-Z]\w+))?, \d{4}"
)

_HEAD = """# Glossary

The terms of the field, each with the sentence that explains it, where that sentence stands, and where to read
more: a page of the manual, an RFC, or a book. This page is collected from the handouts by a program.

- *C++20* is the standard; `[intro.races]` is a section of it, at eel.is/c++draft.
- *Kerrisk*: The Linux Programming Interface. *Stevens, UNP*: UNIX Network Programming, volume 1.
- *Williams*: C++ Concurrency in Action, 2nd edition.
- *Herlihy and Wing, 1990*: Linearizability. *Musuvathi and others, 2008*: Finding and Reproducing Heisenbugs.
- *Schmidt, 1995*: Reactor. *Schroeder and others, 2006*: Open Versus Closed: A Cautionary Tale.

## Terms
"""


@dataclass(frozen=True)
class Term:
    """A term, its source, the sentence that explains it, and where it stands."""

    name: str
    source: str
    sentence: str
    page: str
    section: str

    @property
    def link(self) -> str:
        return f"{self.page}#{_anchor(self.section)}" if self.section else self.page


def terms(handouts: Path) -> list[Term]:
    """Returns the terms of all handouts, by name."""
    pages = sorted(page for page in handouts.glob("*.md") if page.name != PAGE)
    found = [term for page in pages for term in terms_of(page.name, page.read_text())]
    return sorted(found, key=lambda term: (term.name.lower(), term.page))


def terms_of(page: str, text: str) -> Iterator[Term]:
    """Yields the terms of one page, in the order of their explanations."""
    section = ""
    for paragraph in re.split(r"\n\s*\n|\n(?=\s*(?:- |\d+\. ))", _fence.sub("", text)):
        if heading := re.match(r"\s*## (.*)", paragraph):
            section = heading[1]
            continue
        for mark in _mark.finditer(paragraph):
            before = _emphasised.search(paragraph[: mark.start()])
            name = mark[1] or (before[1] if before else "")
            sentence = _around(paragraph, mark.start())
            yield Term(_plain(name), _plain(mark[2]), _with_page(sentence, page), page, section)


def _around(paragraph: str, place: int) -> str:
    """Returns the sentence of a paragraph that stands at this place, as one line without comments."""
    ends = [0, *(end.end() for end in _sentence_end.finditer(_without_comments(paragraph))), len(paragraph)]
    start = max(end for end in ends if end <= place)
    end = min(end for end in ends if end > place)
    text = _plain(_comment.sub("", paragraph[start:end]))
    return re.sub(r"^(- |\d+\. )", "", text)


def _without_comments(paragraph: str) -> str:
    """Returns the paragraph with its comments blanked, so that all places stay what they were."""
    return _comment.sub(lambda comment: "x" * len(comment[0]), paragraph)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _with_page(sentence: str, page: str) -> str:
    """Returns the sentence with links that work from the glossary."""
    return re.sub(r"\]\(#", f"]({page}#", sentence)


def _anchor(heading: str) -> str:
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page(handouts: Path, links: bool = False) -> str:
    """Returns the glossary as Markdown. links: sources are links, for a page that is read in a browser."""
    return _HEAD + "\n" + "".join(_entry(term, links) for term in terms(handouts))


def _entry(term: Term, links: bool) -> str:
    place = re.sub(r"^lab0?(\d+)$", r"lab \1", term.page.removesuffix(".md"))
    where = f"{place}, {term.section}" if term.section else place
    source = _linked(term.source) if links else term.source
    sentence = re.sub(":$", ".", term.sentence)
    text = f"- **{term.name}**: {sentence} [{where}]({term.link}); {source}."
    lines = textwrap.wrap(text, 110, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return "\n".join(lines) + "\n"


def _linked(source: str) -> str:
    """Returns the source as a link, if it is a page of the manual or an RFC."""
    source = _manual.sub(_manual_link, source)
    return _rfc.sub(r"[RFC \1](https://www.rfc-editor.org/rfc/rfc\1)", source)


def _manual_link(manual: re.Match[str]) -> str:
    section = manual[2] + (manual[3] or "")
    return f"[{manual[0]}](https://man7.org/linux/man-pages/man{section}/{manual[1]}.{section}.html)"
