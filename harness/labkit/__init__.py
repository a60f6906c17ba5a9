"""The words that checks are written in: programs, clients, facts of the kernel, waiting, steps."""

from .causes import check
from .lab import Lab, secret_word
from .run import Run
from .server import Server
from .steps import CouldNotTell, Failed, expect, show, step
from .waiting import wait_until

__all__ = [
    "CouldNotTell",
    "Failed",
    "Lab",
    "Run",
    "Server",
    "check",
    "expect",
    "secret_word",
    "show",
    "step",
    "wait_until",
]
