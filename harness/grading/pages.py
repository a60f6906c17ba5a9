"""Results as pages: report.html of one submission, class.html of many. Everything in them is escaped by
jinja2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from . import text
from .classes import Row, statistics
from .model import FAIL, PASS
from .writers import write_atomically

_TEMPLATES = Path(__file__).with_name("templates")


def _render(name: str, **values: Any) -> str | None:
    """The page, or None where jinja2 is not installed: a page is a convenience, the results are elsewhere
    too.
    """
    try:
        import jinja2
    except ModuleNotFoundError:
        return None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["points"] = text.number
    environment.filters["printable"] = text.printable
    return environment.get_template(name).render(**values)


def write_report(
    results: dict[str, Any], out: Path, title: str = "Report", timelines: dict[str, str] | None = None
) -> bool:
    """Writes report.html for a results.json; timelines: SVG by the check's name. False if it could not be."""
    labs: dict[str, list[dict[str, Any]]] = {}
    for test in results["tests"]:
        labs.setdefault(test["tags"][0], []).append(test)
    page = _render(
        "report.html",
        title=title,
        results=results,
        labs=labs,
        timelines=timelines or {},
        passed=PASS,
        failed=FAIL,
    )
    if page is not None:
        write_atomically(out / "report.html", page)
    return page is not None


def write_class(rows: list[Row], out: Path) -> bool:
    """Writes class.html and each student's report.html. False if they could not be."""
    for row in rows:
        write_report(row.results, out / "students" / row.submission.slug, row.submission.name)
    page = _render("class.html", rows=rows, **statistics(rows))
    if page is not None:
        write_atomically(out / "class.html", page)
    return page is not None
