"""Checks that try every schedule of a program, and tell the one that fails."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Sequence
from pathlib import Path

from labkit.build import LABS, make
from labkit.lab import Lab
from labkit.preloading import compiled
from labkit.program import sanitizer_report
from labkit.steps import CouldNotTell, Failed, step
from labkit.surroundings import ENVIRONMENT

from .drawing import svg
from .engine import STEPS, Run, Target, as_text, from_text
from .search import Exploration, Explorer, Finding, Judge
from .telling import Story

HERE = Path(__file__).resolve().parent.parent  # the harness

CAUSES = {
    "deadlock": "Each of these threads has a lock that another of them waits for.",
    "double_lock": "A thread locks a mutex that it holds already: it waits for itself.",
    "misuse": "A thread unlocks, or waits with, a mutex that it has not locked.",
    "all_asleep": "Every thread waits, and nobody is left to wake them.",
}


def ended_well(run: Run) -> Finding | None:
    """What is wrong with the end of any run: a deadlock, a crash, no end, a sanitizer's report, an exit
    status.
    """
    last = run.errors.decode(errors="replace").splitlines()[-4:]
    if report := sanitizer_report("tsan/program", run.errors.decode(errors="replace")):
        cause = report.cause if isinstance(report.cause, str) else "sanitizer"
        return Finding(cause, report.what, tuple(line[:120] for line in report.details))
    if run.how == "deadlock":
        waits = {thread.wants for thread in run.threads} - {"over", "nothing"}
        owners = [
            (number, thread.owner)
            for number, thread in enumerate(run.threads)
            if thread.wants in ("lock", "share")
        ]
        if any(number == owner for number, owner in owners):
            return Finding("double_lock", "a thread waits for a lock that it has itself")
        if waits <= {"lock", "share", "end"}:
            return Finding("deadlock", "each waits for a lock that another one has")
        return Finding("all_asleep", "no thread can run any more")
    if run.how in ("endless", "spins"):
        return Finding("does_not_end", run.message or "a thread computes without end, and calls nobody")
    if run.how == "misuse":
        return Finding("misuse", run.message)
    if run.status != 0:
        return Finding(
            "crashed" if run.status < 0 else "wrong_exit_status",
            f"it ends with status {run.status}",
            tuple(last),
        )
    return None


def built_library(directory: Path) -> Path:
    """The compiled explorer, somewhere in the directory. Throws CouldNotTell if it cannot be built."""
    here = HERE / "labkit"
    flags = ("-g", "-fno-threadsafe-statics", "-fno-tree-loop-distribute-patterns")  # see schedules.cpp
    more = (here / "schedules_calls.cpp", here / "schedules_world.cpp", here / "schedules.hpp")
    built = compiled(here / "schedules.cpp", directory, *more, flags=flags)
    if built is None:
        raise CouldNotTell("the library that explores schedules could not be built")
    return built


def library(lab: Lab) -> Path:
    """The compiled explorer, which the lab's programs may read."""
    built = built_library(lab.preloaded or lab.scratch)
    if built not in lab.box.readable:
        lab.box.readable.append(built)
    return built


def target(
    lab: Lab,
    program: str,
    arguments: Sequence[str],
    input: bytes = b"",
    variant: str | None = None,
    together: bool = False,
    steps: int = STEPS,
    clients: str = "",
) -> Target:
    """A program of the lab, to be explored. `clients`: what a server's clients do (schedules_world.cpp)."""
    path = lab.require(program, variant)
    if variant == "tsan":
        lab.prove_sanitizer(program)
    given = lab.file("input", input)
    return Target(
        (str(path), *arguments),
        lab.scratch,
        ENVIRONMENT,
        library(lab),
        given,
        together,
        lab.box,
        steps,
        clients,
    )


def located(
    tree: Path,
    lab: str,
    program: str,
    arguments: Sequence[str],
    scratch: Path,
    variant: str,
    input: Path,
    together: bool,
    steps: int,
    clients: str = "",
) -> Target:
    """A program of a tree, built now, to be explored outside a check. Throws CouldNotTell if it cannot be."""
    if lab not in LABS:
        raise CouldNotTell(f"there is no {lab}. There are: {', '.join(LABS)}")
    built = make(tree / LABS[lab], variant, f"{variant}/{program}" if variant else program)
    path = built.path(program).resolve()
    if not path.exists():
        raise CouldNotTell("\n".join([f"there is no {lab}/{program}", *built.errors.get(program, [])]))
    shared = HERE.parent / "build" / "preload" if os.access(HERE.parent, os.W_OK) else scratch
    preloaded = built_library(shared)
    return Target(
        (str(path), *arguments),
        scratch,
        ENVIRONMENT,
        preloaded,
        input,
        together,
        steps=steps,
        clients=clients,
    )


def told(explored: Target, run: Run, finding: Finding | None, lab: str) -> list[str]:
    """A run as lines: its turns, what was wrong, and how to see it again."""
    story = Story(run, Path(explored.argv[0]))
    lines = [
        line
        for turn in story.steps()
        for line in textwrap.wrap(turn, 88, subsequent_indent="       ", break_long_words=False)
    ]
    return [*lines, *closing(explored, story, finding, lab)]


def closing(explored: Target, story: Story, finding: Finding | None, lab: str) -> list[str]:
    """What follows the turns of a run: who waits for whom, the sanitizer's words, and how to see it again."""
    program = Path(explored.argv[0])
    evidence = finding.details if finding and finding.cause in ("data_race", "sanitizer", "crashed") else ()
    place = f"tsan/{program.name}" if program.parent.name == "tsan" else program.name
    again = [
        "harness/replay",
        *(["--clients", explored.clients] if explored.clients else []),
        f"{lab}/{place}",
        as_text(story.run.schedule, explored.together),
        *explored.argv[1:],
    ]
    count = story.run.preemptions
    return [
        *story.end(),
        *evidence,
        f"{count} preemption{'' if count == 1 else 's'}. Replay: {shlex.join(again)}",
    ]


def every_schedule(
    lab: Lab,
    name: str,
    explored: Target,
    judge: Judge = ended_well,
    bound: int = 2,
    most: int = 20_000,
    seeds: int = 0,
    depth: int = 3,
) -> None:
    """A step: the program is run under every schedule of at most `bound` preemptions, and under `seeds` by
    chance.

    With --schedule NAME:SCHEDULE, only the one of that name is run, and only by that schedule.
    """
    if lab.schedule is not None:
        wanted, _, text = lab.schedule.rpartition(":")
        if wanted == name:
            lab.replayed = True
            _replayed(lab, name, explored, judge, text)
        return
    with step(
        f"{name}: {shlex.join([Path(explored.argv[0]).name, *explored.argv[1:]])}"
    ) as current, Explorer(explored) as explorer:
        explorations = []
        if bound >= 0:
            explorations.append(explorer.exhaust(judge, bound, most))
        if seeds and not any(found.finding for found in explorations):
            first = lab.random.randrange(1 << 30)
            explorations.append(explorer.by_chance(judge, range(first, first + seeds), depth))
        current.outcome = ", ".join(found.told() for found in explorations)
        for found in explorations:
            if found.finding is not None:
                raise _failure(lab, name, explored, explorer, judge, found)


def _failure(
    lab: Lab, name: str, explored: Target, explorer: Explorer, judge: Judge, found: Exploration
) -> Failed:
    schedule, run, finding = explorer.shrink(found.schedule, judge)
    text = f"{name}:{as_text(schedule, explored.together)}"
    again = f"To run this schedule alone, add SCHEDULE='{text}' to the last line's command."
    details = [*told(explored, run, finding, lab.name), again]
    picture = svg(Story(run, Path(explored.argv[0])), f"{name}: {finding.what}")
    return Failed(
        f"{finding.what}, in schedule {found.tried}",
        rung="schedule",
        cause=finding.cause,
        details=details,
        picture=picture,
    )


def _replayed(lab: Lab, name: str, explored: Target, judge: Judge, text: str) -> None:
    try:
        schedule, together = from_text(text)
    except ValueError:
        raise CouldNotTell(f"{text} is no schedule") from None
    if together != explored.together:
        raise CouldNotTell(f"{text} is not one of this scenario's schedules")
    with step(f"{name}, by the schedule {text}") as current, Explorer(explored) as explorer:
        run = explorer.run(schedule, events=True)
        finding = judge(run)
        if finding is not None:
            raise Failed(finding.what, cause=finding.cause, details=told(explored, run, finding, lab.name))
        current.outcome = "passes"
        current.details = told(explored, run, None, lab.name)
