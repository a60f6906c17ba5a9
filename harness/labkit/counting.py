"""Clients that count together by compare and swap: what is asked of every register that several clients share
at once.
"""

from __future__ import annotations

from .client import Peer, converse
from .server import Server
from .steps import Cause, expect, show

CLIENTS, STEPS = 16, 500


def count_together(server: Server, cause: Cause = None, steps: int = STEPS) -> None:
    """Each client adds `steps` to the server's register, and tries again when another was faster.

    Fails as "two_winners" if a step is lost or made twice; cause: the likely one of a reply that does not
    come.
    """
    clients = [server.connect(f"client {number}") for number in range(1, CLIENTS + 1)]
    believed = dict.fromkeys(clients, 0)
    left = dict.fromkeys(clients, steps)
    won: list[int] = []

    def answered(client: Peer, line: bytes) -> bytes | None:
        expect(line.isdigit(), f"{client.name} gets a number", otherwise=show(line))
        present = int(line)
        if present == believed[client]:
            won.append(present)
            left[client] -= 1
            present += 1
        believed[client] = present
        return b"%d %d\n" % (present, present + 1) if left[client] else None

    for client in clients:
        client.send(b"0 1\n")
    converse(clients, answered, f"{CLIENTS} clients add {steps} each by compare and swap", cause=cause)
    total = CLIENTS * steps
    expect(
        sorted(won) == list(range(total)),
        f"each value from 0 to {total - 1} was swapped for the next one, once",
        otherwise=f"{total - len(set(won))} of them were not, or twice",
        cause="two_winners",
    )
    zoe = server.connect("zoe")
    zoe.send(b"0 0\n")
    zoe.expect(b"%d\n" % total, cause={"bytes": "two_winners"})
    zoe.half_close()
    zoe.expect_eof()
