"""The explorer of schedules: what it serialises, how it counts, and what it says of programs that are wrong.
"""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from exploring import histories, services
from exploring.checking import built_library, ended_well, located
from exploring.engine import CHOICES, EVENTS, STEPS, Engine, Request, Run, Target, as_text, from_text
from exploring.histories import Queue
from exploring.queues import SCENARIOS
from exploring.search import Exploration, Explorer, Finding
from exploring.telling import Story
from grading.model import ROOT
from labkit import CouldNotTell

HERE = Path(__file__).parent
Targets = Callable[[str], Target]


@pytest.fixture(scope="session")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Targets:
    """Makes the target that runs one of the programs in programs/threads.cpp."""
    scratch = tmp_path_factory.mktemp("schedules")
    explorer = built_library(scratch)
    program = scratch / "threads"
    source = HERE / "programs" / "threads.cpp"
    subprocess.run(["g++", "-std=c++20", "-O1", "-g", "-pthread", "-o", program, source], check=True)
    return lambda name: Target((str(program), name), scratch, {"PATH": "/usr/bin:/bin"}, explorer)


def explore(target: Target, expected: bytes | None = None, bound: int = 2) -> Exploration:
    """Tries every schedule; the output has to be the expected one."""

    def judge(run: Run) -> Finding | None:
        other = expected is not None and run.how == "ended" and run.output != expected
        return Finding("output", repr(run.output)) if other else ended_well(run)

    with Explorer(target) as explorer:
        return explorer.exhaust(judge, bound)


def test_the_same_schedule_is_the_same_run(targets: Targets) -> None:
    """A thousand times of a thousand: what was printed, every choice and every event."""
    with Engine(targets("if_for_while")) as engine:
        chosen = engine.run(Request(seed=7)).schedule
        runs = list(engine.runs([Request(chosen, wanted=CHOICES | EVENTS)] * 1000))
    assert len({(run.output, bytes(run.choices), tuple(run.events)) for run in runs}) == 1


def test_runs_of_one_process_find_its_static_variables_as_they_were(targets: Targets) -> None:
    with Engine(targets("statics")) as engine:
        runs = list(engine.runs([Request(again=again) for again in (False, True, True, True)]))
    assert {(run.output, run.steps, bytes(run.choices)) for run in runs} == {
        (b"1111\n", runs[0].steps, bytes(runs[0].choices))
    }
    with Engine(targets("process")) as engine:
        alone, first, second, later = (
            run.output for run in engine.runs([Request(again=again) for again in (False, True, True, False)])
        )
    assert first == second and len({alone, first, later}) == 3


def test_a_program_that_remembers_its_last_run_has_a_process_for_each(targets: Targets) -> None:
    with Engine(targets("remembers")) as engine:
        assert [run.output for run in engine.runs([Request(again=True)] * 2)] == [b"first\n", b"again\n"]
    found = explore(targets("remembers"), b"first\n")
    assert found.finding is None and found.complete == 2 and set(found.outcomes) == {b"first\n"}


@pytest.mark.parametrize(
    "name",
    [
        "mutex",
        "recursive",
        "timed",
        "shared",
        "ticket",
        "semaphore",
        "posix_semaphore",
        "spin_lock",
        "scoped_lock",
    ],
)
def test_every_kind_of_lock_locks_on_every_schedule(targets: Targets, name: str) -> None:
    found = explore(targets(name), b"2\n")
    assert found.finding is None and found.complete == 2
    assert found.tried > 20


def test_a_loop_that_waits_without_a_call_gives_its_turn_away(targets: Targets) -> None:
    found = explore(targets("spinning"), b"2\n", bound=1)
    assert found.finding is None and found.complete == 1


def test_a_race_loses_an_addition_on_some_schedules_and_on_others_not(targets: Targets) -> None:
    found = explore(targets("race"), bound=1)
    assert set(found.outcomes) == {b"1\n", b"2\n"}


@pytest.mark.parametrize(
    "name, expected",
    [
        ("sleeps", b"1\n"),
        ("reads_while_written", b"1\n"),
        ("meet", b""),
        ("promises", b"7\n"),
        ("detached", b"1\n"),
    ],
)
def test_what_threads_wait_with_is_serialised(targets: Targets, name: str, expected: bytes) -> None:
    found = explore(targets(name), expected, bound=1)
    assert found.finding is None and found.complete == 1


def test_a_time_limit_passes_on_some_schedules(targets: Targets) -> None:
    assert set(explore(targets("time_limit")).outcomes) == {b"0\n", b"1\n"}


def test_a_call_that_waits_outside_lets_others_run(targets: Targets) -> None:
    with Engine(targets("pipes")) as engine:
        run = engine.run(Request())
    assert sorted(run.output.split()) == [b"1", b"1"] and run.status == 0


@pytest.mark.parametrize(
    "name, cause, preemptions",
    [
        ("lock_order", "deadlock", 1),
        ("lost_wakeup", "all_asleep", 1),
        ("if_for_while", "output", 1),
        ("not_locked", "misuse", 0),
    ],
)
def test_what_is_wrong_is_found_with_the_fewest_preemptions(
    targets: Targets, name: str, cause: str, preemptions: int
) -> None:
    found = explore(targets(name), b"1\n" if name == "if_for_while" else None)
    assert found.finding is not None and found.finding.cause == cause
    with Explorer(targets(name)) as explorer:
        assert explorer.run(found.schedule).preemptions == preemptions


def test_chance_finds_it_from_every_seed_and_a_long_schedule_shrinks(targets: Targets) -> None:
    with Explorer(targets("lock_order")) as explorer:
        for first in range(0, 1000, 100):
            found = explorer.by_chance(ended_well, range(first, first + 100))
            assert found.finding is not None and found.finding.cause == "deadlock"
            schedule, run, finding = explorer.shrink(found.schedule, ended_well)
            assert finding.cause == "deadlock" and run.preemptions == 1
            assert explorer.run(schedule).how == "deadlock"


def test_a_deadlock_is_told_with_its_cycle(targets: Targets) -> None:
    with Explorer(targets("lock_order")) as explorer:
        found = explorer.exhaust(ended_well)
        _, run, _ = explorer.shrink(found.schedule, ended_well)
    story = Story(run, Path(targets("lock_order").argv[0]))
    waiting = [line for line in story.end() if not line.startswith("main")]
    assert len(waiting) == 2
    assert all(" has " in line and " waits for " in line for line in waiting)
    assert "Thread-1" in waiting[0] and "which Thread-2 has" in waiting[0]


def test_a_thread_that_nobody_started_cannot_be_told(targets: Targets) -> None:
    with Explorer(targets("unseen")) as explorer, pytest.raises(CouldNotTell, match="pthread_create"):
        explorer.exhaust(ended_well, bound=0)


def test_a_schedule_that_does_not_exist_cannot_be_told(targets: Targets) -> None:
    with Explorer(targets("lock_order")) as explorer, pytest.raises(CouldNotTell, match="options"):
        explorer.run(((0, 30),))


def test_schedules_are_written_and_read() -> None:
    for schedule, together in (((), False), (((12, 1), (17, 2)), True)):
        assert from_text(as_text(schedule, together)) == (schedule, together)
    for wrong in ("", "1", "1.2,1.3", "x.1", "3.-1", "t"):
        with pytest.raises(ValueError):
            from_text(wrong)


# --- histories


def unexplained(text: str, queue: Queue) -> int:
    """How many lines of the history it takes until no order explains it, 0 if one always does."""
    return len(histories.shortest_unexplained(text.split("|"), queue))


FIFO = Queue("fifo", 1)


@pytest.mark.parametrize(
    "history, queue, length",
    [
        ("> a put 1|> b get|< b get: 1|< a put 1: yes", FIFO, 0),
        ("> b get|< b get: 1|> a put 1|< a put 1: yes", FIFO, 2),
        ("> a put 1|< a put 1: yes|> a put 2|< a put 2: yes", FIFO, 4),
        ("> a put 1|< a put 1: yes|> a put 2 0|< a put 2 0: no", FIFO, 0),
        ("> b get|< b get: nothing", FIFO, 2),
        ("> b get|> c close|< b get: nothing|< c close: done", FIFO, 0),
        ("> c close|< c close: done|> a put 1|< a put 1: yes", FIFO, 4),
        ("> a put 1|< a put 1: yes|> b get|> c get|< b get: 1|< c get: 1", FIFO, 6),
        ("> a put 1|> b put 2|< a put 1: yes|< b put 2: yes|> c get|< c get: 2", Queue("fifo", 0), 0),
        ("> a put 1|< a put 1: yes|> b put 2|< b put 2: yes|> c get|< c get: 2", Queue("fifo", 0), 6),
        ("> a put 1|< a put 1: yes|> b put 2|< b put 2: yes|> c get|< c get: 2", Queue("lifo", 0), 0),
        ("> a put 3|< a put 3: yes|> b put 2|< b put 2: yes|> c get|< c get: 3", Queue("priority", 0), 6),
        ("> a put 1|< a put 1: yes|> a join|< a join: done", FIFO, 4),
        ("> a put 1|< a put 1: yes|> b get|< b get: 1|> b task_done|> a join|< a join: done", FIFO, 0),
        ("> b task_done|< b task_done: task_done: more often than put", FIFO, 0),
        ("> a size|> b put 1|< b put 1: yes|< a size: 1", FIFO, 0),
    ],
)
def test_histories_are_explained_or_not(history: str, queue: Queue, length: int) -> None:
    assert unexplained(history, queue) == length


def test_who_sleeps_needlessly_is_named() -> None:
    lost = "> a put 1|< a put 1: yes|> b get"
    assert [call.thread for call in histories.stuck(lost.split("|"), FIFO)] == ["b"]
    assert not histories.stuck(["> b get", "> c get"], FIFO)
    assert not histories.stuck("> a put 1|< a put 1: yes|> a put 2".split("|"), FIFO)


# --- queues that are right in another way


@pytest.mark.parametrize("alternative", [1, 2, 3, 4, 5])
def test_a_queue_that_is_right_in_another_way_passes(
    targets: Targets, tmp_path: Path, alternative: int
) -> None:
    """Notified after the unlock; one condition for all; a ticket lock; a semaphore; a shared_mutex."""
    lab = HERE.parents[1] / "lab06_threads"
    for name in ("queue_scenario.cpp", "queue_call.hpp", "thread_driver.hpp", "options.hpp", "posix.hpp"):
        shutil.copy(lab / name, tmp_path)
    shutil.copy(HERE / "programs" / "alternative_queue.hpp", tmp_path / "blocking_queue.hpp")
    program = tmp_path / "queue_scenario"
    flags = ["-std=c++20", "-O1", "-g", "-pthread", f"-DALTERNATIVE={alternative}"]
    subprocess.run(["g++", *flags, "-o", program, tmp_path / "queue_scenario.cpp"], check=True)
    for scenario in SCENARIOS:
        explored = dataclasses.replace(targets(""), argv=(str(program), *scenario.arguments), together=True)
        with Explorer(explored) as explorer:
            found = explorer.exhaust(scenario.judge, bound=1, most=3000)
            assert found.finding is None, (scenario.name, as_text(found.schedule), found.finding)
            found = explorer.by_chance(scenario.judge, range(100))
            assert found.finding is None, (scenario.name, as_text(found.schedule), found.finding)


# --- servers


@pytest.mark.parametrize("service", services.POOLS, ids=[service.name for service in services.POOLS])
def test_a_server_and_its_clients_do_the_same_by_the_same_schedule(
    tmp_path: Path, service: services.Service
) -> None:
    """No network is between them, and so nothing that the schedule does not say."""
    target = located(
        ROOT,
        "lab06",
        service.program,
        service.arguments,
        tmp_path,
        "",
        Path("/dev/null"),
        False,
        STEPS,
        service.scripts,
    )
    with Engine(target) as engine:
        chosen = engine.run(Request(seed=7, length=60)).schedule
        runs = list(engine.runs([Request(chosen, wanted=CHOICES | EVENTS)] * 100))
    assert len({(run.output, bytes(run.choices), tuple(run.events)) for run in runs}) == 1
    assert service.judge(runs[0]) is None


def test_a_client_that_is_never_answered_is_named(tmp_path: Path) -> None:
    target = located(
        ROOT, "lab06", "upper_server", (), tmp_path, "", Path("/dev/null"), False, STEPS, "say a; line; line"
    )
    with Explorer(target) as explorer:
        found = explorer.exhaust(services.answered, bound=0)
    assert found.finding is not None and found.finding.cause == "no_answer"
    assert "client-1" in found.finding.what
