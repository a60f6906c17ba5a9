"""The ladder of hints for a cause: harness/hints/LAB.ini and common.ini."""

from __future__ import annotations

import configparser

from .model import HARNESS

RUNGS = {"ask": "Ask yourself:", "look": "Look:", "near": "Near by:", "idea": "The idea:"}


def ladder(lab: str, cause: str | None) -> list[tuple[str, str]]:
    """Returns the hints for a cause, from a question to the idea, each with its label; those for no cause if
    it has none.
    """
    known = configparser.ConfigParser(interpolation=None)
    known.read([HARNESS / "hints" / "common.ini", HARNESS / "hints" / f"{lab}.ini"], encoding="utf-8")
    section = cause if cause and known.has_section(cause) else "no_cause"
    return [(label, known[section][rung]) for rung, label in RUNGS.items()]
