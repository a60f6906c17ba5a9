"""What checks ask of programs with threads."""

from __future__ import annotations

from . import kernel
from .lab import Lab
from .program import Program
from .run import Run
from .server import Server
from .steps import Cause, expect
from .waiting import wait_until


def threaded(server: Server, count: int, cause: Cause = None) -> None:
    """Waits until the server has so many threads beside its first one."""
    wait_until(
        lambda: server.threads() == count + 1,
        f"the server has {count} more threads",
        cause=cause,
        instead=lambda: f"{server.threads() - 1}",
    )


def shares_under_locks(run: Run, lab: Lab, cause: Cause) -> None:
    """What the run has told was done by threads that share it: if it took locks, a race is seen without them.

    A program that took none has changed atomic variables, which are counted: printing is neither.
    """
    if not run.locks:
        return
    without = lab.run(run.name, variant="tsan", unlocked=True)
    sees = without.report is not None and without.report.cause == "data_race"
    expect(sees, "ThreadSanitizer sees what the locks protect when it does not see the locks", cause=cause)


def expect_shared(program: Program, changes: int, cause: Cause = None) -> None:
    """The same of a program that was started with unlocked=True, and has done something with each of two
    threads by now; changes: of atomic variables in one step, if there are no locks.
    """
    assert program.witness is not None and program.witness.unlocked
    witness = program.witness

    def seen() -> bool:
        report = program.report()
        return bool(report and report.cause == "data_race") or witness.count("changes") >= changes

    wait_until(
        lambda: seen() or program.status() is not None,
        "ThreadSanitizer sees what the locks protect when it does not see the locks",
        cause=cause,
        instead=lambda: "no report",
    )
    expect(seen(), "it has reported a data race", cause=cause)


def expect_gone(server: Server, count: int) -> None:
    """Waits until so many clients have gone, as the log says."""

    def told() -> int:
        return server.stdout.text.count("\ndisconnected")

    wait_until(
        lambda: told() >= count or server.status() is not None,
        f"the log says that {count} have gone",
        instead=lambda: f"{told()}",
    )
    server.expect_alive()


def expect_no_wakeups(programs: list[Program], clock: Program, cause: Cause) -> None:
    """No thread of the programs wakes up while the clock, a program that polls, does so a hundred times."""
    for program in programs:
        program.expect_at_rest()
    before = [kernel.context_switches(program.pid) for program in programs]
    begin = kernel.context_switches(clock.pid)
    wait_until(
        lambda: kernel.context_switches(clock.pid) >= begin + 100, f"{clock.name} has woken up 100 times"
    )
    for program, count in zip(programs, before):
        woken = kernel.context_switches(program.pid) - count
        expect(woken <= 2, f"meanwhile {program.name} has not", cause=cause, otherwise=f"{woken} times")
