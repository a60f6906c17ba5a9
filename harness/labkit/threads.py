"""What checks ask of servers with threads."""

from __future__ import annotations

from .server import Server
from .waiting import wait_until


def threaded(server: Server, count: int, cause: str | None = None) -> None:
    """Waits until the server has so many threads beside its first one."""
    wait_until(lambda: server.threads() == count + 1, f"the server has {count} more threads", cause=cause,
               instead=lambda: f"{server.threads() - 1}")  # fmt: skip


def expect_gone(server: Server, count: int) -> None:
    """Waits until so many clients have gone, as the log says."""

    def told() -> int:
        return server.stdout.text.count("\ndisconnected")

    wait_until(lambda: told() >= count or server.status() is not None, f"the log says that {count} have gone",
               instead=lambda: f"{told()}")  # fmt: skip
    server.expect_alive()
