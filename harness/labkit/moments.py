"""Two short moments at which SIGTERM may come: a server is about to say that it listens, and a child has just
been forked. Each is made to last: the process is held there.
"""

from __future__ import annotations

import os
import signal

from . import kernel
from .instructions import holding
from .lab import Lab
from .steps import CouldNotTell, step
from .waiting import wait_until

CAUSES = {
    "parent_ended_before": "The server had ended before its new child asked to end with it "
    "(PR_SET_PDEATHSIG): then no signal comes. Behind that call, look whether the parent is still the "
    "process that called fork.",
}
_MOST_CALLS = 200  # that a server makes between bind and its first line


def ends_from_its_first_line_on(lab: Lab, name: str, *arguments: str) -> None:
    """SIGTERM comes while the server writes its first line: it ends as it does at any later time."""
    with step(f"{name} gets SIGTERM while it writes its first line", quiet=True):
        server = lab.start(name, "-p", "0", *arguments, faults={"bound": 1})
        wait_until(
            lambda: kernel.state(server.pid) == "T" or server.status() is not None, "it has bound its port"
        )
        with holding(server.pid) as held:
            os.kill(server.pid, signal.SIGCONT)
            for _ in range(_MOST_CALLS):
                where = held.to_next_call()
                if where is None or where in ("before write(1)", "before writev"):
                    break
            else:
                raise CouldNotTell(f"the server makes more than {_MOST_CALLS} system calls after bind")
            server.send_signal(signal.SIGTERM)
        server.expect_exit(
            0, cause=lambda: "handler_too_late" if server.status() == -signal.SIGTERM else None
        )
        server.expect_match("^Exiting$")


def ends_with_its_newborn_child(lab: Lab, name: str, *arguments: str) -> None:
    """SIGTERM ends the server while a child that it has just forked stands still: the child ends, too."""
    with step(f"{name} gets SIGTERM when it has just forked a child", quiet=True):
        server = lab.server(name, *arguments, faults={"held": 1})
        ann = server.connect("ann")

        def stopped() -> list[int]:
            return [child for child, state in server.children().items() if state == "T"]

        wait_until(stopped, "her child stands still as soon as it is forked (SIGSTOP)", cause="no_child")
        child = stopped()[0]
        server.send_signal(signal.SIGTERM)
        wait_until(lambda: server.status() is not None, "the server has ended", cause="does_not_end")
        with step("her child continues (SIGCONT)"):
            os.kill(child, signal.SIGCONT)
        ann.expect_eof(cause="parent_ended_before")
        wait_until(
            lambda: kernel.state(child) in ("", "Z"), "her child has ended", cause="parent_ended_before"
        )
        server.expect_exit(0)
