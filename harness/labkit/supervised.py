"""A server as a supervisor may start it: without standard input, output or error."""

from __future__ import annotations

import signal
from collections.abc import Callable

from . import kernel
from .lab import Lab
from .server import Server
from .steps import step

CAUSE = "standard_descriptor_taken"
_OWN = ("socket:", "anon_inode:", "pipe:")  # what a program opens for its work, and not in place of a stream


def _has_taken(server: Server, closed: tuple[int, ...]) -> bool:
    """Whether the server or a child of it has something of its own under a number that was closed."""
    return any(
        kernel.descriptors(member).get(number, "").startswith(_OWN)
        for member in kernel.family(server.pid)
        for number in closed
    )


def _why(server: Server, closed: tuple[int, ...], taken: bool) -> Callable[[], str | None]:
    """The likely cause of a client that gets something else: it has to be seen, then or now."""
    return lambda: CAUSE if taken or _has_taken(server, closed) else None


def serves_without_standard_streams(
    lab: Lab, name: str, *arguments: str, request: bytes, reply: bytes
) -> None:
    """With descriptors 0, 1 and 2 closed the next socket would get such a number, and a line of the log its
    client.

    The client gets its reply and nothing else, and SIGINT ends the server with status 0. First all three are
    open: what goes wrong there has another cause.
    """
    for closed in ((), (0, 1, 2), (1,), (2,)):
        told = f"with descriptors {', '.join(map(str, closed))} closed" if closed else "with 0, 1 and 2 open"
        with step(f"{name} is started {told}", quiet=True):
            server = lab.server(name, *arguments, closed=closed)
            taken = _has_taken(server, closed)

            why = _why(server, closed, taken)
            ann, bob = server.connect_all("ann", "bob")
            for client in (ann, bob):
                client.send(request)
                client.expect(reply, cause=why)
                client.half_close()
                client.expect_eof(cause=why)
            server.send_signal(signal.SIGINT)
            server.expect_exit(0, cause=CAUSE if taken else None)
