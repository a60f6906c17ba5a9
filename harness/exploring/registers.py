"""What is wrong with a run of register_rw, a register behind a readers-writer lock."""

from __future__ import annotations

from .checking import ended_well
from .engine import Run
from .histories import calls
from .search import Finding

# What each thread does.
SCENARIOS = {
    "two_readers_and_a_writer": ("read; done", "read; done", "write 7; done"),
    "two_writers_and_a_reader": ("write 1; done", "write 2; done", "read; done"),
    "a_reader_comes_again": ("read; done; read; done", "write 7; done", "write 8; done"),
}


def wrong(run: Run) -> Finding | None:
    """What is wrong: a thread sleeps for ever, a writer is not alone, or a reader reads something else."""
    history = run.output.decode(errors="replace").splitlines()
    try:
        made = {call.end: call for call in calls(history)}
        began = {call.begin: call for call in calls(history)}
    except ValueError:
        return ended_well(run) or Finding("wrong_result", "it prints something else than the calls")
    holds: dict[str, str] = {}
    value = "0"
    for place, line in enumerate(history):
        begun, returned = began.get(place), made.get(place)
        if begun is not None and begun.words[0] == "done":
            holds.pop(begun.thread, None)
        if returned is None or returned.words[0] not in ("read", "write"):
            continue
        name = returned.words[0]
        if name == "write" and holds or "write" in holds.values():
            others = " and ".join(
                f"{who} {'reads' if does == 'read' else 'writes'}" for who, does in holds.items()
            )
            does = "read" if name == "read" else "write"
            return Finding(
                "not_alone", f"{returned.thread} may {does} while {others}", tuple(history[: place + 1])
            )
        holds[returned.thread] = name
        value = returned.words[1] if name == "write" else value
        if name == "read" and returned.result != value:
            what = f"{returned.thread} reads {returned.result}, and {value} was written"
            return Finding("not_alone", what, (*history[:place], line))
    return ended_well(run)
