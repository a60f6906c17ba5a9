"""Programs that have threads make calls as they are typed (lab06's thread_driver.hpp): a check is the
scheduler."""

from __future__ import annotations

import re

from . import kernel
from .program import Program
from .steps import expect, step
from .waiting import wait_until


class Driver:
    """Such a program, and what its threads have been told to do."""

    def __init__(self, program: Program) -> None:
        self.program = program

    def thread(self, name: str) -> int:
        """The kernel's number of the thread of this name."""
        threads = kernel.thread_ids(self.program.pid)
        return next(number for number, called in threads.items() if called == name)

    def _count(self, line: str) -> int:
        return self.program.stdout.text.splitlines().count(line)

    def begin(self, thread: str, order: str) -> None:
        """Tells a thread to do something, and waits until it does."""
        line = f"> {thread} {order}"
        before = self._count(line)
        self.program.type(f"{thread} {order}\n")
        with step(f"{thread} begins", quiet=True):
            wait_until(lambda: self._count(line) > before, line)

    def result(self, thread: str, order: str) -> str | None:
        """What the thread's call of this order, the last one, has returned; None while it has not."""
        found = re.findall(rf"^< {thread} {re.escape(order)}: (.*)$", self.program.stdout.text, re.MULTILINE)
        return found[-1] if len(found) == self._count(f"> {thread} {order}") else None

    def ends(self, thread: str, order: str, wanted: str, cause: str) -> None:
        """Waits until the order that the thread has begun is carried out with this result."""
        wait_until(
            lambda: self.result(thread, order) is not None,
            f"{thread}'s {order} returns",
            cause=cause,
            instead=lambda: "it still waits",
        )
        result = self.result(thread, order)
        cause = "wrong_result" if cause in ("stuck", "lost_wakeup") else cause
        expect(result == wanted, f"it returned: {wanted}", cause=cause, otherwise=f"it returned: {result}")

    def does(self, thread: str, order: str, wanted: str, cause: str) -> None:
        self.begin(thread, order)
        self.ends(thread, order, wanted, cause)

    def waits(self, thread: str, order: str, cause: str = "does_not_wait") -> None:
        """The order has to wait: every thread sleeps, and this one has not returned."""
        self.begin(thread, order)
        self.still_waits(thread, order, cause)

    def still_waits(self, thread: str, order: str, cause: str = "does_not_wait") -> None:
        self.program.expect_at_rest()
        expect(
            self.result(thread, order) is None,
            f"{thread} waits in {order.split()[0]}",
            cause=cause,
            otherwise=f"it returned: {self.result(thread, order)}",
        )

    def returned(self, threads: list[str], order: str) -> list[str]:
        return [thread for thread in threads if self.result(thread, order) is not None]
