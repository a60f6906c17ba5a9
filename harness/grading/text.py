"""Results as text for a terminal: a failure with its steps, a line a check, the final table."""

from __future__ import annotations

import os
import sys
import textwrap
import time

from .model import COULD_NOT_TELL, FAIL, PASS, Report, Result

WIDTH = 100
_MARKS = {PASS: ("32", "pass"), FAIL: ("31", "FAIL"), COULD_NOT_TELL: ("33", "could not tell")}


def number(points: float) -> str:
    return f"{points:g}"


def printable(text: str) -> str:
    """The text without control characters: what a program printed shall not steer a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def printable_lines(text: str) -> str:
    """The same for a text of several lines."""
    return "\n".join(printable(line) for line in text.split("\n"))


def failure(result: Result) -> str:
    """The story of one check that did not pass: steps, evidence, likely cause, where to read on."""
    check = result.check
    score = f"{number(result.score)} of {number(check.points)} points"
    if result.verdict == COULD_NOT_TELL:
        score = "not graded"
    title = f"{check.lab} · {check.title}"
    lines = [f"{title:<{WIDTH - 22}}{score:>22}" if len(title) < WIDTH - 22 else f"{title}   {score}"]
    lines += textwrap.wrap(check.why, WIDTH - 2, initial_indent="  ", subsequent_indent="  ")
    for place, entry in enumerate(result.steps, 1):
        text, outcome = printable(entry["text"]), printable(entry["outcome"])
        if entry["failed"]:
            text += "…"
        if outcome and len(text) > 60:
            lines += [f"  {place:>2}  {text}", f"      {'':<60}  {outcome}"]
        else:
            lines.append(f"  {place:>2}  {text:<60}  {outcome}".rstrip())
        lines += [f"        {printable(detail)}" for detail in entry["details"]]
    if result.reason and not any(entry["failed"] for entry in result.steps):
        lines.append(f"      {printable(result.reason)}")
    if result.cause_text:
        lines += textwrap.wrap(
            f"Likely cause: {result.cause_text}", WIDTH - 2, initial_indent="  ", subsequent_indent="  "
        )
    if result.attempts > 1:
        lines.append(f"  Asked {result.attempts} times, with growing patience.")
    if result.seen:
        lines.append(f"  Seen at {_clock(result.seen)}, of the same programs.")
    lines.append(f"  Read: {check.read}        Again: make grade-{check.lab} CHECK={check.name}")
    return "\n".join(lines)


def line(result: Result, color: bool) -> str:
    """One check in one line."""
    code, mark = _MARKS[result.verdict]
    shown = f"\x1b[{code}m{mark}\x1b[0m" if color else mark
    points = f"{number(result.score)}/{number(result.check.points)}"
    note = f" ({result.note})" if result.note else ""
    seen = f"  seen {_clock(result.seen)}" if result.seen else ""
    name = f"{result.check.title}{note}"
    return f"{result.check.number:>5}  {shown}{'':<{max(0, 5 - len(mark))}} {points:>7}  {name}{seen}"


def table(report: Report) -> str:
    """Lab, points, of; and the total."""
    rows = [f"{'lab':<8}{'points':>8}{'of':>6}"]
    for lab in report.labs():
        results = report.of_lab(lab)
        hidden = report.hidden_points.get(lab, 0)
        of = number(report.possible(results))
        rows.append(
            f"{lab:<8}{number(report.score(results)):>8}{of:>6}"
            + (f"  visible, {number(hidden)} more hidden" if hidden else "")
        )
    total = (
        f"{'total':<8}{number(report.score(report.results)):>8}{number(report.possible(report.results)):>6}"
    )
    rows.append(total)
    if unknown := report.count(COULD_NOT_TELL):
        rows.append(f"The total is provisional: {unknown} of {len(report.results)} checks could not be told.")
    return "\n".join(rows)


def _clock(seconds: float) -> str:
    """A time as a clock shows it, with the day if it is another one."""
    moment = time.localtime(seconds)
    return time.strftime("%H:%M" if moment[:3] == time.localtime()[:3] else "%Y-%m-%d %H:%M", moment)


def short(result: Result, color: bool) -> str:
    """One check in one line, and what broke."""
    told = line(result, color)
    reason = result.reason if result.rung in ("build", "start") else result.cause_text or result.reason
    why = textwrap.shorten(printable(reason), WIDTH, placeholder=" …")
    return f"{told}: {why}" if result.verdict != PASS else told


def kept(report: Report) -> str:
    """How many verdicts are from earlier runs, and how to have them found anew; empty if there are none."""
    seen = sum(bool(result.seen) for result in report.results)
    if not seen:
        return ""
    which = f"{seen} of {len(report.results)} verdicts" if seen < len(report.results) else "All verdicts"
    return f"{which} were seen before, of the same programs on this machine. All anew: AGAIN=1"


def color_wanted() -> bool:
    """Only for people: on a terminal, and not if they do not want it (no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")
