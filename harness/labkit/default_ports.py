"""The ports that programs use without -p: at an address of the loopback that is drawn, so that no other
program has them there.
"""

from __future__ import annotations

import re
import signal

from .client import Datagrams
from .lab import Lab
from .steps import CouldNotTell, step
from .waiting import wait_until

_TAKEN = "Address already in use"  # by a program that has the port at every address


def _own_address(lab: Lab) -> str:
    return "127." + ".".join(str(lab.secret.randint(1, 254)) for _ in range(3))


def listens_by_default(lab: Lab, name: str, port: int, *arguments: str) -> None:
    """A server that is started without -p listens at this port."""
    address = _own_address(lab)
    with step(f"{name} is started without -p", quiet=True):
        server = lab.start(name, "-a", address, *arguments)
        told = re.compile(rf"^listening on {re.escape(address)}:\d+$", re.MULTILINE)
        wait_until(
            lambda: told.search(server.stdout.text) or server.status() is not None,
            "it prints its first line",
            cause="wrong_first_line",
        )
        if server.status() is not None and _TAKEN in server.stderr.text:
            return
        server.expect_match(rf"^listening on {re.escape(address)}:{port}$", cause="other_default_port")
        server.send_signal(signal.SIGTERM)
        server.expect_exit(0)


def connects_by_default(lab: Lab, name: str, port: int, *words: str) -> None:
    """A client that is started without -p connects to this port."""
    address = _own_address(lab)
    with step(f"{name} is started without -p", quiet=True):
        try:
            listener = lab.listen(address, port)
        except CouldNotTell:
            return
        client = lab.start(name, address, *words, stdin=True)
        listener.accept("the server", client, cause="other_default_port")
        client.send_signal(signal.SIGKILL)  # while it waits for its user, or for a reply
        client.expect_exit(-signal.SIGKILL)
        listener.close()


def asks_by_default(lab: Lab, name: str, port: int) -> None:
    """A client of a datagram service that is started without -p asks at this port."""
    address = _own_address(lab)
    with step(f"{name} is started without -p", quiet=True):
        try:
            server = Datagrams("the server", None, None, address, port)
        except OSError:
            return
        client = lab.start(name, address, stdin=True)
        client.type("take 1\n")
        server.take("its first datagram", cause="other_default_port")
        client.send_signal(signal.SIGKILL)
        client.expect_exit(-signal.SIGKILL)
