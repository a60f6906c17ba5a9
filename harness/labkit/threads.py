"""What checks ask of programs with threads."""

from __future__ import annotations

from . import kernel
from .program import Program
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
