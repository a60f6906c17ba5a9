"""Who is compared: a server of a lab, or a peer that somebody brings, and what each can be asked for."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
HERE = Path(__file__).parent / "contestants"


@dataclass(frozen=True)
class Scheme:
    """One way to serve many clients. `command` has {port} where the port belongs."""

    name: str
    command: tuple[str, ...]
    service: str  # as load_client -m has it: bytes, upper or echo
    most: int = 20_000  # connections at once that it can serve
    peer: bool = False
    sources: tuple[str, ...] = field(default=())  # programs to build, as paths below the root

    @property
    def can_keep(self) -> bool:
        return self.service != "bytes"


def _lab(name: str, program: str, *options: str, most: int = 20_000) -> Scheme:
    service = "bytes" if Path(program).name.startswith("bytes") else "upper"
    return Scheme(name, (str(ROOT / program), "-p", "{port}", *options), service, most, sources=(program,))


def _python(name: str, program: str, service: str) -> Scheme:
    return Scheme(name, ("/usr/bin/python3", str(HERE / program), "{port}"), service, 200, peer=True)


# One request a connection: who is quick to take a client in, and to let it go?
PER_CONNECTION = [
    _lab("iterative", "lab07_prefork/bytes_server", "-n", "1"),
    _lab("fork", "lab04_fork/bytes_server", most=1000),
    _lab("select", "lab05_select/bytes_server", most=1000),
    _lab("poll", "lab05_select/upper_server_poll"),
    _lab("epoll", "lab05_select/upper_server_epoll"),
    _lab("epoll edge", "lab05_select/upper_server_epoll_edge"),
    _lab("thread", "lab06_threads/bytes_server", most=2000),
    _lab("pool", "lab06_threads/bytes_server_prethreaded", "-n", "10"),
    _lab("prefork", "lab07_prefork/bytes_server", "-n", "10"),
    _lab("passing", "lab07_prefork/bytes_server_passing", "-n", "10"),
    _lab("reuseport", "lab07_prefork/bytes_server_reuseport", "-n", "10"),
    _python("Python's ForkingTCPServer", "forking_server.py", "bytes"),
]

# Kept connections: who is quick when the clients stay?
KEPT = [
    _lab("fork", "lab04_fork/upper_server", most=1000),
    _lab("select", "lab05_select/upper_server", most=1000),
    _lab("poll", "lab05_select/upper_server_poll"),
    _lab("epoll", "lab05_select/upper_server_epoll"),
    _lab("epoll edge", "lab05_select/upper_server_epoll_edge"),
    _lab("busy", "lab05_select/upper_server_busy"),
    _lab("thread", "lab06_threads/upper_server", most=10_000),
    _lab("pool", "lab06_threads/upper_server_pool", "-n", "100", most=100),
]

# Peers that the bench brings itself, with the header that must be there and what they are linked with.
LIBRARIES = {
    "libuv": ("libuv_upper.cpp", "/usr/include/uv.h", ["-luv"]),
    "Asio": ("asio_upper.cpp", "/usr/include/asio.hpp", ["-pthread"]),
}


def peer(text: str) -> Scheme:
    """NAME=COMMAND with {port} in it; NAME:SERVICE=COMMAND if it is neither bytes nor found out by asking."""
    name, _, command = text.partition("=")
    if not name or "{port}" not in command:
        raise ValueError(f"--peer '{text}': not NAME=COMMAND with {{port}} in COMMAND")
    name, _, service = name.partition(":")
    if service not in ("", "bytes", "upper", "echo"):
        raise ValueError(f"--peer '{text}': the service is bytes, upper or echo")
    return Scheme(name, tuple(shlex.split(command)), service, peer=True)
