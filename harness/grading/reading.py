"""The handouts as pages beside a report: so that what to read next is a link which works in a browser."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from .model import ROOT

_HANDOUTS = ROOT / "handouts"


def handout(lab: str) -> tuple[str, str] | None:
    """The title and the content of a lab's handout, as HTML; None where it or python3-markdown-it is not
    there.

    A heading has the id that a code host gives it; pictures are in the page itself.
    """
    source = _HANDOUTS / f"{lab}.md"
    try:
        from markdown_it import MarkdownIt
    except ModuleNotFoundError:
        return None
    if not source.is_file():
        return None
    markdown = source.read_text()
    page = MarkdownIt("commonmark").enable("table").render(markdown)
    page = re.sub(r"<h([1-4])>(.*?)</h\1>", _with_id, page)
    page = re.sub(r'src="(pictures/[\w.-]+\.svg)"', _embedded, page)
    page = re.sub(r'href="(lab\d\d)\.md', r'href="\1.html', page)
    return markdown.partition("\n")[0].lstrip("# "), page


def _with_id(heading: re.Match[str]) -> str:
    words = re.sub(r"<.*?>", "", heading[2]).lower()
    name = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
    return f'<h{heading[1]} id="{name}">{heading[2]}</h{heading[1]}>'


def _embedded(source: re.Match[str]) -> str:
    path = Path(_HANDOUTS, source[1])
    if not path.is_file():
        return source[0]
    return f'src="data:image/svg+xml;base64,{base64.b64encode(path.read_bytes()).decode()}"'
