"""How a program that is explored by hand is judged."""

from __future__ import annotations

from collections.abc import Sequence

from . import queues, registers, services
from .checking import ended_well
from .search import Judge


def begins_together(program: str, arguments: Sequence[str]) -> bool:
    """Whether the program only starts threads: what it does meanwhile is no matter."""
    return program == "queue_scenario" or (program == "register_rw" and bool(arguments))


def judging(program: str, arguments: Sequence[str], clients: str) -> Judge:
    """What is known of the program, else only what is wrong with every program."""
    if clients:
        return services.answered
    if program == "queue_scenario":
        return queues.scenario_of(arguments).judge
    return registers.wrong if program == "register_rw" else ended_well
