"""Sends that the kernel itself ends early, for checks of programs that send much. This needs no library, and
no call of the program gets past it.
"""

from __future__ import annotations

from . import kernel
from .client import Peer
from .server import Server
from .steps import CouldNotTell
from .waiting import wait_until


def send_ends_early(server: Server, data: bytes) -> tuple[bytes, bytes]:
    """A signal ends a send that waits and has taken a part: SIGSTOP and SIGCONT do; signal(7). Returns what
    the server's client could send, and all that came back.
    """
    ann = server.connect("ann", receive_buffer=4096)
    taken = ann.send_unread(data)
    if taken == len(data):
        raise CouldNotTell("its send did not wait")
    server.expect_serves_itself(ann)
    with server.paused():
        pass
    ann.half_close()
    got = ann.read_to_eof()
    ann.close()
    return data[:taken], got


def reply_ends_early(server: Server, request: bytes) -> Peer:
    """The same while the server answers one request with more than the kernel takes. Returns the client, who
    has read nothing yet.
    """
    ann = server.connect("ann", receive_buffer=4096)
    ann.send(request)

    def waits() -> bool:
        """Its kernel holds bytes that ann has no room for, and the server sleeps: for room for more."""
        return any(end.unsent > 0 for end in ann.ends()[1]) and kernel.at_rest(server.pid)

    for _ in range(3):  # a call that has taken nothing yet begins anew by itself
        wait_until(lambda: waits() or server.status() is not None, "the server waits until ann reads")
        server.expect_serves_itself(ann)
        with server.paused():
            pass
    return ann
