"""Runs checks: a pytest plugin that finds them, gives each its lab, and turns what happened into a verdict.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import math
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import Any

import pytest
from _pytest.runner import runtestprotocol

from labkit import CouldNotTell, Failed, Lab, waiting
from labkit.build import LABS, Build
from labkit.box import (
    Box,
    described,
    fresh_network,
    kill_user,
    scratch_directory,
    take_user,
    temporary_directory,
)
from labkit.client import Conversation, all_peers
from labkit.processes import adopt_orphans, end_all, end_traced
from labkit.preloading import compiled
from labkit.proof import prove_start
from labkit.steps import Story, telling

from .kept import Kept
from .model import COULD_NOT_TELL, FAIL, HARNESS, PASS, ROOT, Check, Report, Result, Term, Unusable
from .workers import Ended, Workers

ATTEMPTS = 3  # of a check that could not be told
WHOLE_CHECK = 15  # deadlines that one check may take in all
OWN_SEED = 1  # for one's own code: always the same, so that verdicts can be kept


@dataclass
class Selection:
    """Which checks to run: those of these labs whose name begins with one of `names`, or all."""

    labs: list[str]
    names: list[str] = field(default_factory=list)
    visible_only: bool = False
    first_failure: bool = False  # stop at the first check that does not pass
    seed: int = OWN_SEED
    directory: Path = HARNESS / "checks"
    demonstrations: bool = False  # also those which show given programs, and have no points
    jobs: int = 1  # checks at once
    schedule: str | None = None  # the one that checks of every schedule run
    kept: Kept | None = None  # verdicts of earlier runs, which hold for what has not changed
    until: float = math.inf  # of time.monotonic(): checks that would begin later are not judged


class Session:
    """The plugin. `told` is called for each check in order, when it and all before it have a verdict."""

    def __init__(
        self,
        builds: dict[str, Build],
        box: Box,
        selection: Selection,
        shim: Path | None,
        scratch: Path,
        told: Callable[[Result, Report], None],
    ) -> None:
        self.builds = builds
        self.box = box
        self.selection = selection
        self.shim = shim
        self.scratch = scratch
        self.preloaded: Path | None = None  # where libraries to preload are compiled
        self.told = told
        self.report = Report([])
        self.broken: list[str] = []  # what of the harness itself could not even be collected
        self.interrupted = 0  # by this signal
        self._results: dict[str, Result] = {}
        self._urgent: set[str] = set()  # node ids of the checks whose programs have changed
        self._error: BaseException | None = None
        self._failed = 0.0  # when
        self._passed_call = False

    def pytest_keyboard_interrupt(self) -> None:
        self.interrupted = signal.SIGINT

    # --- collecting

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.broken.append(str(report.longrepr))

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        term = Term()
        declared: dict[str, list[tuple[pytest.Item, Check]]] = {}
        for item in items:
            function = item.function  # type: ignore[attr-defined]
            lab = item.path.name[5:10]
            name = item.name.removeprefix("test_")
            if not hasattr(function, "declaration"):
                raise Unusable(f"{item.path.name}: {name} is not declared with @check")
            group = declared.setdefault(lab, [])
            check = Check.declared(
                name, lab, len(group) + 1, function.declaration, function.__doc__ or "", term
            )
            group.append((item, check))
        chosen: list[pytest.Item] = []
        unmatched = set(self.selection.names)
        for lab, group in declared.items():
            if (self.selection.directory.parent / "mistakes").is_dir():
                term.verify(lab, [check for _, check in group])
            elif not self.selection.names:  # a students' release has not got them
                self.report.hidden_points[lab] = 100 - sum(check.points for _, check in group)
            for item, check in group:
                matching = {name for name in self.selection.names if check.name.startswith(name)}
                unmatched -= matching
                if self.selection.names and not matching:
                    continue
                if check.is_demonstration and not (
                    self.selection.demonstrations or check.name in self.selection.names
                ):
                    continue
                if self.selection.visible_only and check.hidden:
                    self.report.hidden_points[lab] = self.report.hidden_points.get(lab, 0) + check.points
                else:
                    chosen.append(item)
                    self._results[item.nodeid] = Result(check)
        if unmatched:
            known = [check.name for group in declared.values() for _, check in group if check.points]
            near = [name for word in sorted(unmatched) for name in _similar(word, known)]
            raise Unusable(
                f"no check's name begins with {', '.join(sorted(unmatched))}. "
                + ("Similar names:" if near else "There are:")
                + "".join(f"\n  {name}" for name in near or known)
            )
        by_name = {(result.check.lab, result.check.name): result for result in self._results.values()}
        for result in self._results.values():
            result.after = by_name.get((result.check.lab, result.check.after))
        self.report.results = list(self._results.values())
        for result in self.report.results[:1]:
            self.told(result, self.report)  # from now on there is a file that says what was not graded yet
        items[:] = self._by_urgency(chosen)

    def _by_urgency(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """The checks whose programs have changed, the quickest first; then the others; then those that are
        known.
        """
        kept = self.selection.kept
        if kept is None:
            return items

        places: dict[str, tuple[int, float]] = {}
        for item in items:
            result = self._results[item.nodeid]
            if kept.recall(result):
                places[item.nodeid] = (2, 0)
            else:
                places[item.nodeid] = (0, kept.seconds(result)) if kept.concerned(result) else (1, 0)
        for item in items:  # what a check counts after is known before it
            after = self._results[item.nodeid].after
            for other in items:
                if after is not None and self._results[other.nodeid] is after and not after.seen:
                    places[other.nodeid] = min(places[other.nodeid], places[item.nodeid])
        self._urgent = {item.nodeid for item in items if places[item.nodeid][0] == 0}
        return sorted(items, key=lambda item: places[item.nodeid])

    def _starting_order(self, items: list[pytest.Item]) -> list[pytest.Item]:
        """The slow checks before the others, that they do not end long after them; what is urgent remains
        first.
        """
        if self.selection.first_failure:
            return items

        def waits(item: pytest.Item) -> tuple[bool, bool]:
            urgent = item.nodeid in self._urgent
            return not urgent, not urgent and not self._results[item.nodeid].check.slow

        return sorted(items, key=waits)

    # --- running

    @pytest.fixture
    def lab(self, request: pytest.FixtureRequest) -> Iterator[Lab]:
        """The lab that the check's file is named for."""
        if self.box.tier < 3:
            fresh_network()
        with scratch_directory(self.box.tier, self.scratch) as scratch, self.box.watched(scratch):
            name = request.node.path.name[5:10]
            lab = Lab(self.builds, name, scratch, self.box, self.shim, random=Random(self.selection.seed))
            lab.preloaded, lab.schedule = self.preloaded, self.selection.schedule
            request.node.lab = lab
            yield lab
            if self._passed_call:
                lab.finish()

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
        yield
        if call.excinfo is not None and self._error is None:
            self._error, self._failed = call.excinfo.value, time.time()
        if call.when == "call":
            self._passed_call = self._error is None

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Has the checks run by workers, side by side; tells their results in order."""
        if self.broken:
            return True
        items = [item for item in session.items if not self._results[item.nodeid].seen]
        known: dict[int, Result] = {}  # results by their place, until they are told
        told = 0  # how many
        most = math.inf  # how many still matter

        def tell(until_gap: bool) -> None:
            nonlocal told, most
            for place in sorted(known):
                if (place != told and until_gap) or place >= most:
                    break
                result = self._results[items[place].nodeid]
                if self.selection.kept is not None:
                    self.selection.kept.learn(known[place])
                vars(result).update(vars(known.pop(place)) | {"after": result.after})
                told = place + 1
                if self.selection.first_failure and result.verdict != PASS:
                    most = told
                self.told(result, self.report)

        # There they share a user, which ends all its processes.
        jobs = 1 if self.box.tier == 3 else self.selection.jobs
        workers: Workers[pytest.Item, Result] = Workers(jobs, self._judge)
        try:
            with contextlib.closing(workers.run(self._starting_order(items), lambda: most)) as ended:
                for item, result in ended:
                    known[items.index(item)] = result or self._without_answer(item)
                    tell(until_gap=True)
        except Ended as end:
            self.interrupted = end.number
            tell(until_gap=False)
        finally:
            if self.selection.kept is not None:
                self.selection.kept.write()
        for result in self.report.results:
            if result.seen:
                self.told(result, self.report)
        return True

    def _without_answer(self, item: pytest.Item) -> Result:
        """The result of a check whose own process has died."""
        return dataclasses.replace(
            self._results[item.nodeid], reason="the harness broke: its process has died", attempts=1
        )

    def _judge(self, item: pytest.Item, slot: int) -> Result:
        """Runs one check to its verdict, in a process that is its own."""
        if slot:
            take_user(slot)
        result = self._results[item.nodeid]
        begin = time.monotonic()
        if begin > self.selection.until:
            result.reason = "not judged: the grading as a whole has taken too long"
            return result
        for attempt in range(ATTEMPTS):
            waiting.be_patient(2.0**attempt)
            result.attempts = attempt + 1
            self._run_once(item, result)
            if result.verdict != COULD_NOT_TELL:
                break
        result.seconds = time.monotonic() - begin
        return result

    def _run_once(self, item: pytest.Item, result: Result) -> None:
        story = Story(time.monotonic)
        result.begun = time.time()
        for trace in self.box.traces.iterdir() if self.box.traces else ():
            trace.unlink()  # of an attempt that could not be told
        self._error, self._passed_call = None, False
        item.lab = None  # type: ignore[attr-defined]
        previous = signal.signal(signal.SIGALRM, _took_too_long)
        signal.setitimer(signal.ITIMER_REAL, WHOLE_CHECK * waiting.deadline())
        try:
            with telling(story), contextlib.ExitStack() as traced:
                peers = traced.enter_context(all_peers()) if self.box.traces else []
                runtestprotocol(item, log=False, nextitem=None)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
            lab: Lab | None = item.lab  # type: ignore[attr-defined]
            failing = next((entry for entry in story.steps if entry.failed), None)
            if lab and failing and not failing.details:
                failing.details = lab.evidence()
            for program in lab.programs if lab else []:
                for stream in ("stdout", "stderr"):
                    result.logs[f"{program.name} {program.pid} {stream}"] = getattr(program, stream).text
            if self.box.traces:
                end_traced()
            if self.box.tier == 3:
                kill_user()
            end_all()
        result.steps = [entry.as_dict() for entry in story.steps]
        result.programs = sorted(lab.used) if lab else []
        result.binaries = lab.binaries if lab else {}
        result.conversations = [Conversation(peer.name, peer.local_port, peer.events) for peer in peers]
        result.cause, result.rung, result.failed = None, "", self._failed
        error = self._error
        unseen = isinstance(error, CouldNotTell) or (isinstance(error, Failed) and error.cause == "hides")
        if unseen and (killed := self.box.killed()):  # one that is just dying cannot be looked at, either
            error = killed
        if error is None:
            result.verdict, result.reason = PASS, ""
        elif isinstance(error, Failed):
            result.verdict, result.reason = FAIL, error.what
            result.cause, result.rung = error.cause, error.rung
            result.picture = error.picture
        elif isinstance(error, AssertionError):
            result.verdict, result.reason = (
                FAIL,
                str(error).splitlines()[0] if str(error) else "the check's claim is false",
            )
        elif isinstance(error, (CouldNotTell, Exception)):
            kind = "" if isinstance(error, CouldNotTell) else f"the harness broke: {type(error).__name__}: "
            result.verdict, result.reason = COULD_NOT_TELL, f"{kind}{error}"
        else:
            raise error


def _similar(word: str, names: list[str]) -> list[str]:
    """The names that have the word in them, or are spelled nearly so."""
    return [name for name in names if word in name] or difflib.get_close_matches(word, names, 3)


def _took_too_long(*_: object) -> None:
    if waiting.machine_is_well():
        raise Failed("the whole check took too long", cause="does_not_end")
    raise CouldNotTell("the whole check took too long")


def run_checks(
    builds: dict[str, Build],
    box: Box,
    selection: Selection,
    told: Callable[[Result, Report], None],
    out: Path,
    notes: Sequence[str] = (),
) -> Session:
    """Runs the selected checks on what was built; returns the session with its report. Throws Unusable."""
    adopt_orphans()
    shared = ROOT / "build" if os.access(ROOT, os.W_OK) else out
    # In tier 3 nothing but the modes of directories may keep a submission from them: then it can read in its
    # own alone.
    place = next(iter(builds.values())).directory.parent if box.tier == 3 else shared / "preload"
    shim = compiled(HARNESS / "labkit" / "faults.cpp", place, HARNESS / "labkit" / "shared_counts.hpp")
    box.readable += [shim] if shim else []
    if box.tier < 3:
        fresh_network()
    for directory in {build.directory for build in builds.values()}:
        prove_start(dataclasses.replace(box, traces=None), directory)
    if not box.prove_sight():
        raise Unusable("the harness cannot see what programs do here: /proc does not tell it their sockets")
    with temporary_directory("checks-", 0o711) as scratch:
        session = Session(builds, box, selection, shim, scratch, told)
        session.preloaded = place
        session.report.surroundings.extend(notes)
        _run(session)
    return session


def _run(session: Session) -> None:
    """Has pytest find and run the session's checks. Throws Unusable."""
    selection = session.selection
    session.report.seed = selection.seed
    session.report.surroundings.append(f"Sandbox: {described(session.box.tier)}.")
    session.report.surroundings.append(f"What checks draw: the same again with --seed {selection.seed}.")
    session.report.surroundings.append(
        f"A deadline was {waiting.calibrate():.1f} s on this machine, and more under load."
    )
    checks = selection.directory
    files = [path.name for lab in selection.labs for path in sorted(checks.glob(f"test_{lab}_*.py"))]
    if not files:
        raise Unusable(f"there are no checks for {', '.join(selection.labs)} in {checks}")
    options = [
        "-c",
        os.devnull,
        "--rootdir",
        str(checks),
        "--confcutdir",
        str(checks),
        "-p",
        "no:cacheprovider",
        "-p",
        "no:terminal",
        "-s",
    ]
    begin = time.monotonic()
    # A path may have what pytest takes for a word of its own.
    with _unusable_passes_through() as caught, _working_in(checks):
        status = pytest.main([*options, *files], plugins=[session, caught])
    session.report.seconds = time.monotonic() - begin
    if caught.error:
        raise caught.error
    if status in (pytest.ExitCode.INTERNAL_ERROR, pytest.ExitCode.USAGE_ERROR):
        raise CouldNotTell(f"pytest has failed ({pytest.ExitCode(status).name}): nothing was judged")
    if session.broken:
        raise Unusable("the checks themselves are broken:\n" + "\n".join(session.broken))
    session.report.complete = selection.first_failure or all(
        result.attempts for result in session.report.results
    )
    if time.monotonic() > selection.until:  # there is no more to come
        session.report.complete = True
        late = sum(not result.attempts for result in session.report.results)
        session.report.surroundings.append(
            f"The grading as a whole took too long: {late} checks were not judged."
        )


@contextlib.contextmanager
def _working_in(directory: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(before)


class _unusable_passes_through:
    """pytest turns an exception of a hook into a report of its own; this keeps ours."""

    error: Unusable | None = None

    def __enter__(self) -> _unusable_passes_through:
        return self

    def __exit__(self, *_: Any) -> None:
        pass

    def pytest_internalerror(self, excinfo: pytest.ExceptionInfo[BaseException]) -> bool | None:
        if isinstance(excinfo.value, Unusable):
            self.error = excinfo.value
            return True
        print(excinfo.getrepr(style="short"))
        return None


def drawn_seed() -> int:
    """A seed that nobody knows beforehand: for a mark. The harness is public, and so is what seed 1 asks."""
    return SystemRandom().randrange(1 << 31)


def known_labs(words: list[str]) -> list[str]:
    """'lab05' or 'lab05_select' to 'lab05'; none means every lab with checks. Throws Unusable for others."""
    available = [lab for lab in LABS if any((HARNESS / "checks").glob(f"test_{lab}_*.py"))]
    for word in words:
        if word.rstrip("/") not in [*LABS, *LABS.values()]:
            raise Unusable(f"there is no lab {word}. There are: {', '.join(LABS)}")
    return [lab for lab in available if not words or any(word.startswith(lab) for word in words)]
