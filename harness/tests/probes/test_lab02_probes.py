"""The check for attacks/probes: it asks the program for each attack and its control, and tells the answers.
"""

from __future__ import annotations

import re
from pathlib import Path

from labkit import Lab, check, step

SOURCE = Path(__file__).resolve().parents[2] / "attacks" / "probes" / "upper_server.cpp"
NAMES = re.findall(r'^    \{"(\w+)",', SOURCE.read_text(), re.MULTILINE)


@check(points=100, read="first-server")
def test_the_probes_answer(lab: Lab) -> None:
    """A probe is refused, and its control is not."""
    server = lab.server("upper_server")
    eve = server.connect("eve")
    for name in NAMES:
        for line in (name, f"control {name}"):
            with step(line) as current:
                eve.send(line.encode() + b"\n")
                current.outcome = eve.expect_match(rb"([^\n]*)\n")[1].decode()
