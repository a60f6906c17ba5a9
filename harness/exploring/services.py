"""What is wrong with a run of a server and its clients in a small world (labkit/schedules_world.cpp)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .checking import ended_well
from .engine import Run
from .search import Finding

# What each client gets, in order.
Answers = tuple[tuple[str, ...], ...]

_TIME = re.compile(r"  at \w{3} \w{3} [ \d]\d [\d:]{8} \d{4}")
_WAITS = ("deadlock", "double_lock", "all_asleep")


def answered(run: Run) -> Finding | None:
    """Every client could do all that is in its script, and nothing else is wrong: at the end the server may
    wait for more of them.
    """
    finding = ended_well(run)
    if finding is None or run.how != "deadlock" or finding.cause not in _WAITS:
        return finding
    waiting = [thread.name for thread in run.threads if thread.wants != "over" and is_client(thread.name)]
    if not waiting:
        return None
    if finding.cause != "all_asleep":
        return finding
    verb = "wait" if len(waiting) > 1 else "waits"
    return Finding("no_answer", f"{' and '.join(waiting)} {verb} for an answer", _last(run))


def is_client(name: str) -> bool:
    return name.startswith("client-")


def got(run: Run, clients: int) -> Answers:
    """What each client got; the time that an echo server adds is left out."""
    found: list[list[str]] = [[] for _ in range(clients)]
    for number, text in re.findall(r"^client-(\d+) gets (.*)$", _text(run), re.MULTILINE):
        found[int(number) - 1].append(_TIME.sub("", text))
    return tuple(map(tuple, found))


def _text(run: Run) -> str:
    return run.output.decode(errors="replace")


def _logged(run: Run) -> tuple[list[str], list[str]]:
    """The addresses that the log tells as connected, and as disconnected; sorted."""
    came, went = (
        sorted(re.findall(rf"^{word} (\S+)$", _text(run), re.MULTILINE))
        for word in ("connected", "disconnected")
    )
    return came, went


def _last(run: Run) -> tuple[str, ...]:
    return tuple(_text(run).splitlines()[-12:])


@dataclass(frozen=True)
class Service:
    """A server, what its clients do, and what they may get."""

    program: str
    clients: tuple[str, ...]  # scripts
    answers: tuple[Answers, ...]  # each that the service allows
    arguments: tuple[str, ...] = ()
    threads: int = 1  # that are left when the clients have gone
    wrong: str = "wrong_client"  # the cause of another answer
    bound: int = -1  # few enough schedules to try all with so many preemptions at most

    @property
    def name(self) -> str:
        """Of the scenario: for one client all schedules are tried."""
        return self.program if self.bound < 0 else f"{self.program}, one client"

    @property
    def scripts(self) -> str:
        return "|".join(self.clients)

    def judge(self, run: Run) -> Finding | None:
        """What is wrong: a client waits for ever or gets other bytes, the log is wrong, or a thread or a
        connection is left.
        """
        finding = answered(run)
        if finding is not None:
            return finding
        each = got(run, len(self.clients))
        if each not in self.answers:
            told = "; ".join(
                f"client-{number} got {' and '.join(map(repr, one)) or 'nothing'}"
                for number, one in enumerate(each, 1)
            )
            cut = any(line.strip() == "and the end" for one in each for line in one)
            return Finding("closed_too_early" if cut else self.wrong, told, _last(run))
        came, went = _logged(run)
        if came != went or len(set(came)) != len(self.clients):
            return Finding(
                "wrong_log", f"connected: {', '.join(came)}; disconnected: {', '.join(went)}", _last(run)
            )
        opened = re.search(r"(\d+) connections are open", run.message)
        if opened and opened[1] != "0":
            what = f"all clients have gone, and the server still has {opened[1]} of their connections"
            return Finding("descriptor_leak", what, _last(run))
        left = [
            thread.name for thread in run.threads if thread.wants != "over" and not is_client(thread.name)
        ]
        if run.how == "deadlock" and len(left) > self.threads:
            what = f"all clients have gone, and there is still {' and '.join(left)}"
            return Finding("thread_leak", what, _last(run))
        return None


def says_goodbye(run: Run) -> Finding | None:
    """upper_server_graceful, with the clients of GOODBYE: what came before SIGTERM is answered; it ends."""
    finding = answered(run)
    if finding is not None:
        return finding
    first, second = got(run, 2)
    text = _text(run)
    before, _, _ = text.partition("client-2 sends SIGTERM\n")
    if second != ("TWO", "Goodbye and the end"):
        return Finding("not_told", f"client-2 got {' and '.join(map(repr, second)) or 'nothing'}", _last(run))
    served = "client-1 says one\n" in before and re.search(r"^connected \S+:51001$", before, re.MULTILINE)
    if served and first != ("ONE",):
        return Finding("reply_lost", f"client-1 had sent before, and got {first[0]!r}", _last(run))
    came, went = _logged(run)
    if came != went:
        return Finding("wrong_log", "the log does not tell the end of each connection", _last(run))
    last = [line for line in text.splitlines() if not is_client(line)][-1:]
    if run.how != "ended" or last != ["Exiting"]:
        return Finding("went_on", "the server does not end", _last(run))
    return None


ONE = ("say one; line; leave", "say two; line; leave")
HALF = ("say one; line; leave", "say two; done; end")
GOODBYE = ("say one; line; leave", "say two; line; stop; end")
GOODBYE_TO_ONE = Service(
    "upper_server_graceful",
    ("say one; line; stop; end",),
    ((("ONE", "Goodbye and the end"),),),
    wrong="not_told",
    bound=2,
)

UPPER = ((("ONE",), ("TWO",)),)
UPPER_HALF = ((("ONE",), ("TWO and the end",)),)

SERVERS = (
    Service("upper_server", HALF, UPPER_HALF),
    Service(
        "cas_server",
        ("say 0 1; line; leave", "say 0 2; line; leave"),
        ((("0",), ("1",)), (("2",), ("0",))),
        wrong="two_winners",
    ),
    Service(
        "bytes_server",
        ("say 2; end; leave", "say 3; end; leave"),
        ((("** and the end",), ("*** and the end",)),),
    ),
    Service(
        "echo_server",
        ("say one; done; end", "say two; done; end"),
        ((("Echo=>one and the end",), ("Echo=>two and the end",)),),
        ("-d", "0.1"),
    ),
    Service("upper_server_graceful", ONE, UPPER),
)
ALONE = (("ONE",),)
POOLS = (
    Service("upper_server_pool", ONE[:1], (ALONE,), ("-n", "1"), 2, bound=2),
    Service("upper_server_slow_pool", ONE[:1], (ALONE,), ("-n", "1", "-d", "0"), 2, bound=1),
    Service(
        "upper_server_pool",
        (*ONE, "say three; line; leave"),
        ((("ONE",), ("TWO",), ("THREE",)),),
        ("-n", "2"),
        3,
    ),
    Service("upper_server_slow_pool", HALF, UPPER_HALF, ("-n", "2", "-d", "0"), 3),
)
GIVEN = (
    Service("upper_server_lock", ONE, UPPER, ("-n", "2"), 3),
    Service(
        "bytes_server_prethreaded",
        ("say 2; end; leave", "say 3; end; leave"),
        ((("** and the end",), ("*** and the end",)),),
        ("-n", "2"),
        3,
    ),
    Service(
        "class_server",
        ("say one; done; end", "say two; done; end"),
        ((("Echo=>one and the end",), ("Echo=>two and the end",)),),
        ("-d", "0.1"),
    ),
)
