"""What is measured, and how a figure comes about: interleaved rounds, a median, and how far the rounds lie
apart.
"""

from __future__ import annotations

import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from . import machine
from .machine import Trouble
from .schemes import Scheme


@dataclass(frozen=True)
class Point:
    """One figure of a table: a scheme under one load."""

    table: str
    scheme: str
    connections: int = 0
    idle: int = 0
    size: int = 0


@dataclass
class Result:
    """All rounds of one point; `trouble` if it could not be measured."""

    point: Point
    samples: list[dict[str, float]] = field(default_factory=list)
    trouble: str = ""

    def median(self, figure: str) -> float:
        return statistics.median(sample[figure] for sample in self.samples) if self.samples else 0.0

    def spread(self, figure: str) -> float:
        """Half the distance between the best and the worst round, in relation to the median."""
        values = [sample[figure] for sample in self.samples]
        middle = self.median(figure)
        return (max(values) - min(values)) / 2 / middle if middle else 0.0

    def as_json(self) -> dict[str, Any]:
        figures = sorted(
            {
                key
                for sample in self.samples
                for key, value in sample.items()
                if isinstance(value, (int, float))
            }
        )
        return asdict(self.point) | {
            "trouble": self.trouble,
            "median": {figure: self.median(figure) for figure in figures},
            "spread": {figure: self.spread(figure) for figure in figures},
            "samples": self.samples,
        }


Measure = Callable[[], dict[str, float]]


def interleaved(
    tasks: Iterable[tuple[Point, Measure]],
    rounds: int,
    tell: Callable[[str], None],
    limit: float = float("inf"),
) -> list[Result]:
    """Measures every point once a round, so that a slow minute of the machine falls on all of them alike.

    After `limit` seconds no further round is begun; the first one is always whole.
    """
    prepared = [(Result(point), measure) for point, measure in tasks]
    begin = time.monotonic()
    for number in range(rounds):
        if number > 0 and (time.monotonic() - begin) * (number + 1) / number > limit:
            break
        turn = number % max(1, len(prepared))
        for result, measure in prepared[turn:] + prepared[:turn]:
            if result.trouble:
                continue
            tell(f"{result.point.table}: {result.point.scheme}, round {number + 1} of {rounds}")
            try:
                result.samples.append(measure())
            except (Trouble, OSError, subprocess.SubprocessError) as trouble:
                result.trouble = str(trouble).strip() or type(trouble).__name__
    return [result for result, _ in prepared]


def seconds_of(command: Iterable[object], given: Path = Path("/dev/null"), limit: float = 300) -> float:
    """Runs a command with the file as its input, and returns how long it took; throws if it fails, or takes
    too long.
    """
    with given.open("rb") as stdin:
        begin = time.monotonic()
        subprocess.run(
            [str(word) for word in command], stdin=stdin, stdout=subprocess.DEVNULL, check=True, timeout=limit
        )
        return time.monotonic() - begin


def under_load(scheme: Scheme, point: Point, keep: bool, seconds: float) -> Measure:
    """A run of load_client against a fresh server, about `seconds` long: the first round finds out how many
    requests that is.
    """
    options: list[object] = [
        "-c",
        point.connections,
        "-b",
        point.size,
        *(["-k"] if keep else []),
        *(["-q", point.idle] if point.idle else []),
    ]
    times = [0]

    def measure() -> dict[str, float]:
        with machine.running(scheme) as (port, _):
            if not times[0]:
                trial = machine.load(
                    port, *options, "-t", max(2, 300 // point.connections), service=scheme.service
                )
                times[0] = max(2, int(trial["per_second"] * seconds / point.connections))
            return machine.load(port, *options, "-t", times[0], service=scheme.service)

    return measure


def memory_per_connection(scheme: Scheme, connections: int) -> Measure:
    """The server's growth from one silent connection to many."""

    def measure() -> dict[str, float]:
        with machine.running(scheme) as (port, process), machine.silent_clients(port, 1):
            before = machine.memory(process)
            with machine.silent_clients(port, connections):
                return {"kib": max(0, machine.memory(process) - before) / connections / 1024}

    return measure


def server_points(
    schemes: list[Scheme],
    table: str,
    connections: list[int],
    sizes: list[int],
    idle: list[int],
    keep: bool,
    seconds: float,
) -> list[tuple[Point, Measure]]:
    found = []
    for size in sizes:
        for active in connections:
            for silent in idle:
                for scheme in schemes:
                    if active + silent <= scheme.most:
                        point = Point(table, scheme.name, active, silent, size)
                        found.append((point, under_load(scheme, point, keep, seconds)))
    return found
