"""Reads strace's output (strace -f -ttt -T -yy) into a timeline: lanes, waiting, events, zombies."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path

WAITING = 0.0003  # seconds; a call that takes longer has waited

_LINE = re.compile(r"^(\d+) +(\d+\.\d+) (.*)$")
_CALL = re.compile(r"^(\w+)\((.*)\) += (.*?)(?: <([\d.]+)>)?$")
_UNFINISHED = re.compile(r"^(\w+)\((.*) <unfinished \.\.\.>$")
_BEGUN = re.compile(r"^(\w+)\((.*)$")
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)\) += (.*?)(?: <([\d.]+)>)?$")
_PEER = re.compile(r"<(?:TCP|TCPv6|UDP|UDPv6):\[[^\]]*?->[^\]]*?:(\d+)\]+>")
_ITS_PEER = re.compile(r"^\d+" + _PEER.pattern)

_CONNECTION = re.compile(r"(\d+)" + _PEER.pattern)

_PIPE = re.compile(r"^(?:[3-9]|\d\d+)<pipe:")  # not the standard streams, which may be pipes, too

_BLOCKING = {
    "accept",
    "accept4",
    "recvfrom",
    "recvmsg",
    "read",
    "sendto",
    "sendmsg",
    "write",
    "select",
    "pselect6",
    "poll",
    "ppoll",
    "epoll_wait",
    "epoll_pwait",
    "wait4",
    "waitid",
    "futex",
    "clock_nanosleep",
    "nanosleep",
    "pause",
    "connect",
    "rt_sigtimedwait",
    "sendfile",
    "rt_sigsuspend",
    "flock",
}
_NAMES = {
    "recvfrom": "recv",
    "sendto": "send",
    "pselect6": "select",
    "ppoll": "poll",
    "epoll_pwait": "epoll_wait",
    "wait4": "wait",
    "clock_nanosleep": "sleep",
    "nanosleep": "sleep",
    "futex": "lock or condition",
    "accept4": "accept",
    "rt_sigsuspend": "sigsuspend",
    "rt_sigtimedwait": "sigwait",
}


@dataclass
class Lane:
    """A client, a process or a thread."""

    key: str
    label: str
    kind: str  # "client", "process", "thread"
    born: float
    died: float | None = None
    parent: str = ""


@dataclass
class Span:
    """A stretch of a lane: waiting in a call, being a zombie, or having a client's connection open."""

    lane: str
    begin: float
    end: float
    kind: str  # "waiting", "zombie", "open"
    text: str  # the call, or the client


@dataclass
class Event:
    """Something that happened at once; `to` is the lane that an arrow leads to."""

    lane: str
    time: float
    text: str
    kind: str = ""  # "bytes", "signal", "birth", "death"
    to: str = ""
    about: str = ""  # the client whose connection it concerns


@dataclass
class Moment:
    """A step of the check's story: when it began, and when it failed, if it did."""

    number: int
    begin: float
    text: str
    failed: float | None = None


@dataclass
class Timeline:
    """What is drawn. Times are seconds since the epoch."""

    title: str
    lanes: list[Lane] = field(default_factory=list)
    spans: list[Span] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    steps: list[Moment] = field(default_factory=list)

    def failure(self) -> Moment | None:
        """The step that failed."""
        return next((step for step in self.steps if step.failed is not None), None)

    def lane(self, key: str) -> Lane:
        return next(lane for lane in self.lanes if lane.key == key)

    def add_client(self, name: str, events: list[tuple[float, str]]) -> None:
        """A lane for a scripted client, from what its end of the connection saw."""
        key = f"client {name}"
        gone = events[-1][0] if events[-1][1] in ("close", "reset") else None
        self.lanes.append(Lane(key, name, "client", events[0][0], gone))
        self.events += [
            Event(key, moment, text, "bytes" if " " in text else "", about=name) for moment, text in events
        ]

    def in_order(self) -> dict[str, list[str]]:
        """What happened in each lane, in its order, without times and process ids: equal for equal runs."""
        order: dict[str, list[str]] = {}
        for event in sorted(self.events, key=lambda event: event.time):
            order.setdefault(event.lane, []).append(event.text)
        counts: dict[str, int] = {}
        named = {}
        for lane in self.lanes:
            counts[lane.kind] = counts.get(lane.kind, 0) + 1
            named[lane.key] = lane.label if lane.kind == "client" else f"{lane.kind} {counts[lane.kind]}"
        return {named[key]: texts for key, texts in order.items()}


def read(path: Path, program: str, clients: dict[int, str], into: Timeline) -> None:
    """Adds to the timeline what a trace says of a program and its descendants, from its exec on.

    clients: names by the port of their end of the connection.
    """
    _Reader(program, clients, into).read(path)


class _Reader:
    def __init__(self, program: str, clients: dict[int, str], into: Timeline) -> None:
        self.program = program
        self.clients = clients
        self.timeline = into
        self.started: set[str] = set()
        self.pending: dict[str, tuple[str, str, float]] = {}
        self.dead: dict[str, float] = {}  # of processes that were not reaped yet
        self.ignoring: set[str] = set()  # that ignore SIGCHLD: their children leave no zombies
        # Descriptors of connections: whose, since when.
        self.open: dict[str, dict[int, tuple[str, float]]] = {}
        self.last = 0.0

    def read(self, path: Path) -> None:
        for line in path.read_text(errors="replace").splitlines():
            if match := _LINE.match(line):
                self.last = float(match[2])
                self._line(match[1], self.last, match[3])
        for pid, (name, arguments, since) in self.pending.items():
            self._call(pid, since, math.inf, name, arguments, "?")
        for pid in self.open:
            self._close_all(pid, math.inf)
        for pid, moment in self.dead.items():
            lane = self.timeline.lane(pid)
            if lane.parent:
                parent = self.timeline.lane(lane.parent)
                self.timeline.spans.append(Span(pid, moment, parent.died or math.inf, "zombie", "zombie"))

    def _line(self, pid: str, moment: float, text: str) -> None:
        if text.startswith("+++"):
            if pid in self.started:
                self._death(pid, moment, text)
        elif text.startswith("---"):
            signal = text.split()[1]
            if pid in self.started and signal != "SIGCONT":
                self._event(pid, moment, signal, "signal")
        elif match := _UNFINISHED.match(text):
            self.pending[pid] = (match[1], match[2], moment)
        elif match := _RESUMED.match(text):
            name, begun, since = self.pending.pop(pid, (match[1], "", moment))
            self._call(pid, since, moment, name, begun + match[2], match[3])
        elif match := _CALL.match(text):
            self._call(pid, moment, moment + float(match[4] or 0), match[1], match[2], match[3])
        elif match := _BEGUN.match(text):  # when the trace ends, it has not returned
            self.pending[pid] = (match[1], match[2], moment)

    def _call(self, pid: str, begin: float, end: float, name: str, arguments: str, result: str) -> None:
        if pid not in self.started:
            if (
                name == "execve"
                and result.startswith("0")
                and f'/{self.program}"' in arguments.split(",")[0] + '"'
            ):
                self.started.add(pid)
                self.open[pid] = {}
                self.timeline.lanes.append(Lane(pid, f"{self.program} {pid}", "process", begin))
            return
        if name in _BLOCKING and end - begin > WAITING:
            shown = " ".join(filter(None, [_NAMES.get(name, name), self._whose(arguments)]))
            self.timeline.spans.append(Span(pid, begin, end, "waiting", shown))
        value = result.split(" ")[0].split("<")[0]
        self._note_descriptors(pid, begin, end, name, arguments, result)
        self._tell(
            pid, begin, end, name, arguments, result, int(value) if re.fullmatch(r"-?\d+", value) else None
        )

    def _tell(
        self, pid: str, begin: float, end: float, name: str, arguments: str, result: str, value: int | None
    ) -> None:
        whose = self._whose(arguments)
        if name in ("fork", "vfork", "clone", "clone3") and value and value > 0:
            child = str(value)
            kind = "thread" if "CLONE_THREAD" in arguments else "process"
            self.started.add(child)
            mine = self.open.get(pid, {})
            copied = {number: (client, end) for number, (client, _) in mine.items()}
            self.open[child] = mine if kind == "thread" else copied
            self.timeline.lanes.append(Lane(child, f"{kind} {child}", kind, end, parent=pid))
            self._event(pid, begin, "thread" if kind == "thread" else "fork", "birth", to=child)
        elif name in ("wait4", "waitid") and value and str(value) in self.dead:
            child = str(value)
            self.timeline.spans.append(Span(child, self.dead.pop(child), end, "zombie", "zombie"))
            self._event(pid, end, "reap", "death", to=child)
        elif name == "rt_sigaction" and arguments.startswith("SIGCHLD") and "SIG_IGN" in arguments:
            self.ignoring.add(pid)
        elif name == "listen" and value == 0:
            self._event(pid, begin, "listen")
        elif name in ("accept", "accept4") and value is not None and value >= 0:
            port = _PEER.search(result)
            client = self.clients.get(int(port[1]), "") if port else ""
            self._event(pid, end, f"accept {client}".strip(), about=client)
        elif name in ("recvfrom", "recvmsg", "read") and whose and value is not None:
            self._event(
                pid, end, f"recv {whose} {self._came(result) if value else 'EOF'}", "bytes", about=whose
            )
        elif name in ("sendto", "sendmsg", "write", "sendfile", "writev") and whose and value is not None:
            self._event(pid, end, f"send {whose} {self._came(result)}", "bytes", about=whose)
        elif name in ("read", "write") and value is not None and value > 0 and _PIPE.match(arguments):
            self._event(pid, end, f"{name} pipe {value}", "bytes")
        elif (
            name in ("select", "pselect6", "poll", "ppoll", "epoll_wait", "epoll_pwait") and value is not None
        ):
            self._event(pid, end, f"{_NAMES.get(name, name)} → {value}")
        elif name == "close" and whose:
            self._event(pid, begin, f"close {whose}", about=whose)
        elif name == "execve" and value == 0:
            self._event(pid, begin, "exec")

    @staticmethod
    def _came(result: str) -> str:
        """What a call has returned: a number, or the name of the error."""
        value, _, rest = result.partition(" ")
        return rest.split()[0] if value == "-1" and rest else value

    def _whose(self, arguments: str) -> str:
        """The client at the other end of the first descriptor."""
        port = _ITS_PEER.match(arguments)
        return self.clients.get(int(port[1]), f"port {port[1]}") if port else ""

    def _note_descriptors(
        self, pid: str, begin: float, end: float, name: str, arguments: str, result: str
    ) -> None:
        """Keeps account of the connections to clients that a process has open."""
        mine = self.open.setdefault(pid, {})
        if name in ("accept", "accept4", "dup", "dup2", "dup3", "fcntl"):
            found = _CONNECTION.match(result)
        elif name == "recvmsg" and "SCM_RIGHTS" in arguments:
            found = _CONNECTION.search(arguments.partition("SCM_RIGHTS")[2])
        else:
            found = None
        if found and (client := self.clients.get(int(found[2]))):
            mine[int(found[1])] = (client, end)
        elif name == "close" and (number := arguments.partition("<")[0]).isdecimal() and int(number) in mine:
            client, since = mine.pop(int(number))
            self.timeline.spans.append(Span(pid, since, begin, "open", client))

    def _close_all(self, pid: str, moment: float) -> None:
        """A process that has ended has nothing open."""
        for client, since in self.open.get(pid, {}).values():
            self.timeline.spans.append(Span(pid, since, moment, "open", client))
        self.open[pid] = {}

    def _event(
        self, pid: str, moment: float, text: str, kind: str = "", to: str = "", about: str = ""
    ) -> None:
        self.timeline.events.append(Event(pid, moment, text, kind, to, about))

    def _death(self, pid: str, moment: float, text: str) -> None:
        lane = self.timeline.lane(pid)
        lane.died = moment
        if lane.kind == "process":
            self._close_all(pid, moment)
        how = text.strip("+ ")
        self._event(pid, moment, how.replace("exited with", "exit"), "death")
        if lane.kind == "process" and lane.parent and lane.parent not in self.ignoring:
            self.dead[pid] = moment
