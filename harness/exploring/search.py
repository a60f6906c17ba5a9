"""Walks the schedules of a program: all within a bound of preemptions, or many by chance; shrinks one that
fails.

The bound and the order, fewest preemptions first, are those of CHESS (Musuvathi et al., OSDI 2008); the walk
by chance is PCT (Burckhardt et al., ASPLOS 2010) for even seeds and a random walk for odd ones.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from labkit.steps import CouldNotTell

from .engine import CHOICES, EVENTS, Engine, Request, Run, Schedule, Target

AT_ONCE = 8  # requests that a worker sends before it reads the answers


@dataclass(frozen=True)
class Finding:
    """What is wrong with a run: the name of the likely cause, and what was seen."""

    cause: str
    what: str
    details: tuple[str, ...] = ()


Judge = Callable[[Run], Finding | None]
Progress = Callable[["Exploration"], None]


@dataclass
class Exploration:
    """What was tried, and the first schedule that failed."""

    tried: int = 0
    of_bound: dict[int, int] = field(default_factory=dict)  # preemptions to schedules tried
    known: int = 0  # that are tried, or known to be there, within the bound of the moment
    complete: int = -1  # all schedules of so many preemptions were tried, and passed
    finding: Finding | None = None
    schedule: Schedule = ()
    outcomes: dict[bytes, int] = field(default_factory=dict)  # what was printed, and in how many schedules

    def told(self) -> str:
        """How many schedules were tried, and whether they were all."""
        if self.complete >= 0 and self.finding is None and self.complete == max(self.of_bound):
            return f"all {self.tried} schedules with at most {self.complete} preemptions"
        return f"{self.tried} schedules"


class _Differs(Exception):
    """A run in the process of another one has other choices than in a process of its own."""


class _Remembering:
    """A judge that looks at each different outcome once."""

    def __init__(self, judge: Judge) -> None:
        self._judge = judge
        self._known: dict[tuple[object, ...], Finding | None] = {}

    def __call__(self, run: Run) -> Finding | None:
        tell_if_it_cannot(run)
        key = (run.how, run.status, run.output, run.errors, run.message)
        if key not in self._known:
            self._known[key] = self._judge(run)
        return self._known[key]


def tell_if_it_cannot(run: Run) -> None:
    """Throws CouldNotTell if the explorer could not serialise the program."""
    if run.how in ("cannot", "stuck", "diverged"):
        why = {"stuck": "a thread waits where the explorer does not see it"}.get(run.how, run.message)
        raise CouldNotTell(f"this program's schedules cannot be explored: {why}")


class Explorer:
    """The workers that run a program's schedules. Use it in a with statement."""

    def __init__(self, target: Target, workers: int | None = None) -> None:
        self.target = target
        self._stack = contextlib.ExitStack()
        self._engines: list[Engine] = []
        self._end = float("inf")
        self._again = not target.clients
        self._wanted = workers or min(2, os.cpu_count() or 1)

    def __enter__(self) -> Explorer:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def engine(self) -> Engine:
        return self._workers(1)[0]

    def _workers(self, count: int) -> list[Engine]:
        while len(self._engines) < count:
            self._engines.append(self._stack.enter_context(Engine(self.target)))
        return self._engines[:count]

    def run(self, schedule: Schedule, events: bool = False) -> Run:
        """Runs one schedule. Throws CouldNotTell if it does not exist, as after a change of the program."""
        run = self.engine.run(Request(schedule, wanted=CHOICES | (EVENTS if events else 0)))
        tell_if_it_cannot(run)
        return run

    def _try_again(self) -> None:
        """Sees whether a run in the process of another one is the same as in a process of its own."""
        if self._again:
            first, _, third = self.engine.runs([Request(), Request(again=True), Request(again=True)])
            self._again = all(
                getattr(first, name) == getattr(third, name) for name in ("how", "steps", "choices", "output")
            )

    def exhaust(
        self,
        judge: Judge,
        bound: int = 2,
        most: int = 20_000,
        progress: Progress | None = None,
        seconds: float = float("inf"),
    ) -> Exploration:
        """Tries every schedule, those with the fewest preemptions first, up to `bound` of them.

        Tries no more than `most` schedules, and begins none after so many seconds.
        """
        self._end = time.monotonic() + seconds
        self._try_again()
        try:
            return self._exhaust(judge, bound, most, progress)
        except _Differs:
            self._again = False
            return self._exhaust(judge, bound, most, progress)

    def _exhaust(self, judge: Judge, bound: int, most: int, progress: Progress | None) -> Exploration:
        found = Exploration()
        judging = _Remembering(judge)
        levels: list[list[Schedule]] = [[] for _ in range(bound + 1)]
        levels[0].append(())
        for level in range(bound + 1):
            found.of_bound[level] = 0
            self._walk(levels, level, judging, found, most, progress)
            if found.finding is not None or levels[level]:
                break
            found.complete = level
        return found

    def _walk(
        self,
        levels: list[list[Schedule]],
        level: int,
        judge: Judge,
        found: Exploration,
        most: int,
        progress: Progress | None,
    ) -> None:
        """Tries all schedules of one level, and those that it leads to."""
        state = threading.Condition()
        busy = 0
        errors: list[BaseException] = []

        def take() -> list[Schedule]:
            nonlocal busy
            with state:
                while not levels[level] and busy and found.finding is None and not errors:
                    state.wait()
                if found.finding is not None or errors or found.tried >= most or time.monotonic() > self._end:
                    return []
                count = min(AT_ONCE, max(1, len(levels[level]) // 2), most - found.tried)
                taken = [levels[level].pop() for _ in range(min(count, len(levels[level])))]
                found.tried += len(taken)
                found.of_bound[level] += len(taken)
                found.known = found.tried + len(levels[level])
                busy += bool(taken)
                return taken

        def work(engine: Engine) -> None:
            nonlocal busy
            try:
                while schedules := take():
                    requests = [Request(schedule, again=self._again) for schedule in schedules]
                    for request, run in zip(requests, list(engine.runs(requests))):
                        schedule = request.schedule
                        run, finding = self._judged(engine, request, run, judge)
                        with state:
                            found.outcomes[run.output] = found.outcomes.get(run.output, 0) + 1
                            if finding is not None and found.finding is None:
                                found.finding, found.schedule = finding, run.schedule
                        if finding is None:
                            self._branch(schedule, run, level, levels, state)
                    with state:
                        busy -= 1
                        state.notify_all()
                    if progress:
                        progress(found)
            except BaseException as error:
                with state:
                    errors.append(error)
                    state.notify_all()

        engines = self._workers(self._wanted)
        threads = [threading.Thread(target=work, args=(engine,)) for engine in engines[1:]]
        for thread in threads:
            thread.start()
        work(engines[0])
        for thread in threads:
            thread.join()
        if errors:
            self._stack.close()  # what has been asked is not answered any more
            self._engines.clear()
            raise errors[0]
        if found.finding is not None:
            self._stack.close()
            self._engines.clear()

    def _judged(self, engine: Engine, request: Request, run: Run, judge: Judge) -> tuple[Run, Finding | None]:
        """What is wrong with a run. One that failed in the process of another run is repeated in its own."""
        differs = request.again and run.how == "diverged"
        finding = None if differs else judge(run)
        if differs or (request.again and finding is not None):
            run = engine.run(replace(request, again=False, wanted=CHOICES))
            if run.how == "diverged":
                raise _Differs
            finding = judge(run)
            self._again &= finding is not None
        return run, finding

    @staticmethod
    def _branch(
        schedule: Schedule, run: Run, level: int, levels: list[list[Schedule]], state: threading.Condition
    ) -> None:
        """Adds the schedules that differ from this one in one later choice, each to the level of its
        preemptions.
        """
        begin = schedule[-1][0] + 1 if schedule else 0
        same: list[Schedule] = []
        more: list[Schedule] = []
        last = level + 1 < len(levels)
        for at in range(begin, len(run.choices)):
            choice = run.choices[at]
            costs = choice >> 32
            for option in range(1, choice & 255):
                if not costs >> option & 1:
                    same.append((*schedule, (at, option)))
                elif last:
                    more.append((*schedule, (at, option)))
        with state:
            levels[level].extend(reversed(same))  # so that the earliest is tried first
            if last:
                levels[level + 1].extend(reversed(more))
            state.notify_all()

    def by_chance(
        self, judge: Judge, seeds: range, depth: int = 3, progress: Progress | None = None
    ) -> Exploration:
        """Tries one schedule for each seed."""
        self._try_again()
        found = Exploration()
        judging = _Remembering(judge)
        usual = self.engine.run(Request())
        found.tried = 1
        asked = Request(depth=depth, length=usual.steps, wanted=0)
        requests = [replace(asked, seed=seed, again=self._again) for seed in seeds]
        finding = judging(usual)
        if finding is not None:
            found.finding = finding
            return found
        for begin in range(0, len(requests), AT_ONCE):
            batch = requests[begin : begin + AT_ONCE]
            for request, run in list(zip(batch, self.engine.runs(batch))):
                found.tried += 1
                found.outcomes[run.output] = found.outcomes.get(run.output, 0) + 1
                run, finding = self._judged(self.engine, request, run, judging)
                if finding is not None:
                    found.finding = finding
                    found.schedule = self.engine.run(replace(request, again=False, wanted=CHOICES)).schedule
                    return found
            if progress:
                progress(found)
        return found

    def shrink(self, schedule: Schedule, judge: Judge, most: int = 400) -> tuple[Schedule, Run, Finding]:
        """Leaves out of a failing schedule all that it does not need to fail; returns what is left, with its
        record.

        Throws CouldNotTell if the schedule does not fail again.
        """
        attempts = 0

        def fails(candidate: Schedule) -> Finding | None:
            nonlocal attempts
            attempts += 1
            run = self.engine.run(Request(candidate))
            return judge(run) if run.how not in ("cannot", "stuck", "diverged") else None

        if fails(schedule) is None:
            raise CouldNotTell("a schedule that failed did not fail again")
        size = max(1, len(schedule) // 2)
        while size >= 1 and attempts < most:
            at = 0
            shorter = False
            while at < len(schedule) and attempts < most:
                candidate = schedule[:at] + schedule[at + size :]
                if fails(candidate) is not None:
                    schedule, shorter = candidate, True
                else:
                    at += size
            if not shorter or size > 1:
                size = size // 2 if size > 1 else (1 if shorter else 0)
        preemptions = self.engine.run(Request(schedule)).preemptions
        # Removing one choice changes what the later ones are about: look from the other side, too.
        if preemptions > 1:
            fewer = self.exhaust(judge, preemptions - 1, most=1500)
            schedule = fewer.schedule if fewer.finding else schedule
        run = self.run(schedule, events=True)
        finding = judge(run)
        if finding is None:
            raise CouldNotTell("a schedule that failed did not fail again")
        return run.schedule, run, finding
