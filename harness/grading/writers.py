"""Results as files: results.json (Gradescope's format), junit.xml, evidence/. Each is replaced whole, never
half.
"""

from __future__ import annotations

import json
import os
import tempfile
import xml.etree.ElementTree as xml
from pathlib import Path

from . import text
from .model import COULD_NOT_TELL, FAIL, PASS, Report, Result, Unusable


def write_atomically(path: Path, content: str) -> None:
    """Writes the file or leaves the old one: there is no moment with half of it; rename(2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=path.parent, prefix=f".{path.name}.", delete=False, encoding="utf-8", errors="replace"
    ) as file:
        file.write(content)
    os.chmod(file.name, 0o644)
    os.replace(file.name, path)


def prepare(out: Path) -> None:
    """Makes the directory for results, and removes the evidence of an earlier run. Throws Unusable if it
    cannot.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        for path in (out / "evidence").glob("[0-9]*.[0-9]*-*.txt"):
            path.unlink()
        with tempfile.TemporaryFile(dir=out):
            pass
    except OSError as error:
        raise Unusable(
            f"{out}: {error.strerror}: the results need a directory that can be written to"
        ) from None


def write_all(report: Report, out: Path) -> None:
    """Everything that a run leaves in its directory."""
    write_atomically(out / "results.json", json.dumps(results_json(report), indent=1))
    write_atomically(out / "junit.xml", junit(report))
    for result in report.results:
        if result.verdict != PASS and result.attempts:
            logs = "".join(
                f"\n--- {name}\n{text.printable_lines(content)}" for name, content in result.logs.items()
            )
            name = f"{result.check.number}-{result.check.name}.txt"
            write_atomically(out / "evidence" / name, text.failure(result) + "\n" + logs)


def results_json(report: Report) -> dict[str, object]:
    """The report in Gradescope's format."""
    provisional = report.count(COULD_NOT_TELL)
    notes = list(report.surroundings)
    if not report.complete:
        notes.insert(0, "Grading was cut off: what was not graded has no points yet.")
    if provisional:
        notes.insert(0, f"The total is provisional: {provisional} checks could not be told.")
    return {
        "score": round(report.score(report.results), 6),
        "execution_time": round(report.seconds, 3),
        "output": "\n".join([text.table(report), *notes]),
        "output_format": "text",
        "visibility": "visible",
        "tests": [_test(result) for result in report.results],
        "extra_data": {
            "surroundings": report.surroundings,
            "seed": report.seed,
            "complete": report.complete,
        },
    }


def _test(result: Result) -> dict[str, object]:
    check = result.check
    return {
        "score": result.score,
        "max_score": check.points,
        "status": "passed" if result.verdict == PASS and result.counts else "failed",
        "name": check.title,
        "number": check.number,
        "output": result.note if result.verdict == PASS else text.failure(result),
        "output_format": "text",
        "visibility": "hidden" if check.hidden else "visible",
        "tags": [check.lab],
        "extra_data": {
            "verdict": result.verdict,
            "why": check.why,
            "check": check.name,
            "rung": result.rung,
            "cause": result.cause,
            "cause_text": result.cause_text,
            "handout": check.read,
            "seconds": round(result.seconds, 3),
            "attempts": result.attempts,
            "programs": result.programs,
            "steps": result.steps,
            "told_whole": result.told_whole,
        },
    }


def junit(report: Report) -> str:
    """The report as JUnit's XML: a failed check is a failure, one that could not be told an error."""
    suites = xml.Element("testsuites")
    for lab in report.labs():
        results = report.of_lab(lab)
        suite = xml.SubElement(
            suites,
            "testsuite",
            name=lab,
            tests=str(len(results)),
            failures=str(sum(r.verdict == FAIL for r in results)),
            errors=str(sum(r.verdict == COULD_NOT_TELL for r in results)),
            time=f"{sum(r.seconds for r in results):.3f}",
        )
        for result in results:
            case = xml.SubElement(
                suite, "testcase", classname=lab, name=result.check.name, time=f"{result.seconds:.3f}"
            )
            if result.verdict != PASS:
                kind = "failure" if result.verdict == FAIL else "error"
                told = xml.SubElement(case, kind, message=_xml_text(result.reason))
                told.text = _xml_text(text.failure(result))
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(suites, encoding="unicode")


def _xml_text(content: str) -> str:
    """The text without what XML 1.0 cannot say."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in content)
