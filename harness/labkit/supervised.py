"""A server as a supervisor may start it: without standard input, output or error."""

from __future__ import annotations

import signal

from .lab import Lab
from .steps import step

CAUSE = "standard_descriptor_taken"


def serves_without_standard_streams(
    lab: Lab, name: str, *arguments: str, request: bytes, reply: bytes
) -> None:
    """With descriptors 0, 1 and 2 closed the next socket would get such a number, and a line of the log its
    client.

    The client gets its reply and nothing else, and SIGINT ends the server with status 0.
    """
    for closed in ((0, 1, 2), (1,), (2,)):
        with step(f"{name} is started with descriptors {', '.join(map(str, closed))} closed", quiet=True):
            server = lab.server(name, *arguments, closed=closed)
            ann, bob = server.connect_all("ann", "bob")
            for client in (ann, bob):
                client.send(request)
                client.expect(reply, cause=CAUSE)
                client.half_close()
                client.expect_eof(cause=CAUSE)
            server.send_signal(signal.SIGINT)
            server.expect_exit(0, cause=CAUSE)
