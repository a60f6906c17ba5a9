"""Results as pages: report.html of one submission, class.html of many. Everything in them is escaped by
jinja2.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from . import reading, text
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
    results: dict[str, Any],
    out: Path,
    title: str = "Report",
    timelines: dict[str, str] | None = None,
    handouts: str = "handouts",
) -> bool:
    """Writes report.html for a results.json. False if it could not be.

    timelines: SVG by the check's name. handouts: where write_handouts() has put them, as seen from the page.
    """
    labs: dict[str, list[dict[str, Any]]] = {}
    passed: dict[str, list[dict[str, Any]]] = {}
    for test in results["tests"]:
        labs.setdefault(test["tags"][0], []).append(test)
        if test["extra_data"]["verdict"] == PASS:
            program = next(iter(test["extra_data"]["programs"]), "no program")
            passed.setdefault(f"{test['tags'][0]} · {program}", []).append(test)
    verdicts = {test["extra_data"]["verdict"] for test in results["tests"]}
    page = _render(
        "report.html",
        title=title,
        results=results,
        labs=labs,
        wrong=[test for test in results["tests"] if test["extra_data"]["verdict"] == FAIL],
        unknown=[test for test in results["tests"] if test["extra_data"]["verdict"] not in (PASS, FAIL)],
        right=passed,
        timelines=timelines or {},
        links=_links(results["tests"], out, handouts) if verdicts - {PASS} else {},
        passed=PASS,
        failed=FAIL,
    )
    if page is not None:
        write_atomically(out / "report.html", page)
    return page is not None


def _links(tests: list[dict[str, Any]], out: Path, handouts: str) -> dict[str, str]:
    """For each section that a check names ("handouts/lab04.md#reaping") the link to it, where there is a
    page.
    """
    found = {}
    for section in {test["extra_data"]["handout"] for test in tests}:
        page, _, anchor = Path(section).name.partition("#")
        target = f"{handouts}/{Path(page).stem}.html"
        if (out / target).is_file():
            found[section] = f"{target}#{anchor}"
    return found


def write_handouts(labs: Iterable[str], out: Path) -> None:
    """Writes handouts/lab04.html …, as far as they can be: the reports link to them."""
    for lab in labs:
        found = reading.handout(lab)
        page = _render("handout.html", title=found[0], content=found[1]) if found else None
        if page is not None:
            write_atomically(out / "handouts" / f"{lab}.html", page)


def write_class(rows: list[Row], out: Path) -> bool:
    """Writes class.html and each student's report.html. False if they could not be."""
    write_handouts({tag for row in rows for test in row.tests for tag in test["tags"]}, out)
    for row in rows:
        place = out / "students" / row.submission.slug
        write_report(row.results, place, row.submission.name, handouts="../../handouts")
    page = _render("class.html", rows=rows, **statistics(rows))
    if page is not None:
        write_atomically(out / "class.html", page)
    return page is not None
