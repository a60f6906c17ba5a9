"""Runs programs and checks under strace, and gives their timelines."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import signal
import tempfile
from pathlib import Path

from labkit import kernel
from labkit.box import Box
from labkit.build import Build
from labkit.client import Conversation, Peer, all_peers
from labkit.lab import Lab
from labkit.processes import adopt_orphans, end_all, end_traced
from labkit.server import Server
from labkit.steps import CouldNotTell, Failed
from labkit.waiting import Missed, await_fact
from tracing import draw, strace
from tracing.strace import Moment, Timeline

from .model import FAIL, HARNESS, Report, Unusable
from .session import Selection, run_checks

# What three clients say to each of the services, by the first word of a server's name.
REQUESTS = {
    "upper": b"hello\n",
    "echo": b"hello\n",
    "cas": b"0 1\n",
    "bytes": b"5\n",
    "callback": b"hello\n",
    "class": b"hello\n",
    "super": b"0 1\n",
    "file": b"hello.txt\n",
}


def collect(title: str, traces: Path, clients: list[Conversation]) -> Timeline:
    """The timeline of all that was traced, and of the clients."""
    timeline = Timeline(title)
    for client in clients:
        timeline.add_client(client.name, client.events)
    names = {client.port: client.name for client in clients}
    for path in sorted(traces.glob("*.strace")):
        strace.read(path, path.stem.partition("-")[2], names, timeline)
    return timeline


def trace_program(build: Build, lab: str, program: str, words: list[str], scratch: Path) -> Timeline:
    """Three clients talk to a server, and hang up one after the other; any other program runs to its end."""
    adopt_orphans()
    traces, own = scratch / "traces", scratch / "own"
    traces.mkdir()
    own.mkdir()
    (own / "hello.txt").write_text("hello\n")
    room = Lab({lab: build}, lab, own, Box(traces=traces))
    try:
        with all_peers() as peers:
            if "_server" in program and not program.startswith("udp"):
                _converse(room, program, words)
            else:
                _let_run(room, program, words)
            clients = [Conversation(peer.name, peer.local_port, peer.events) for peer in peers]
            end_traced()
            return collect(f"{lab} · {' '.join([program, *words])}", traces, clients)
    finally:
        end_all()


def _converse(room: Lab, program: str, words: list[str]) -> None:
    request = REQUESTS.get(program.split("_")[0], b"hello\n")
    server = room.server(program, *words)
    clients = server.connect_all("ann", "bob", "cat")
    for client in clients:
        client.send(request)
    with contextlib.suppress(Missed, CouldNotTell):  # all are answered, or those whose turn it is
        await_fact(lambda: all(c.unread() for c in clients) or _at_rest(server, clients))
    for client in clients:
        client.half_close()
        with contextlib.suppress(Failed):
            client.read_to_eof()
        client.close()
    with contextlib.suppress(Failed):
        server.stop()


def _let_run(room: Lab, program: str, words: list[str]) -> None:
    """Lets a program that is no server come to its end, or to rest; one that tells its PID gets SIGUSR1."""
    started = room.start(program, *words)
    with contextlib.suppress(Missed, CouldNotTell):
        await_fact(lambda: started.status() is not None or "PID: " in started.stdout.text)
        await_fact(lambda: started.status() is not None or kernel.at_rest(started.pid))
    if started.status() is None:
        started.send_signal(signal.SIGUSR1)
    with contextlib.suppress(Missed, CouldNotTell):
        await_fact(lambda: started.status() is not None)
    started.send_signal(signal.SIGINT)


def _at_rest(server: Server, clients: list[Peer]) -> bool:
    """Whether some client has its answer, and every process of the server sleeps."""
    return any(client.unread() for client in clients) and all(
        kernel.state(member) in ("S", "Z") for member in kernel.family(server.pid)
    )


def trace_check(
    builds: dict[str, Build], box: Box, lab: str, name: str, scratch: Path, checks: Path = HARNESS / "checks"
) -> Timeline:
    """Runs one check under strace; the step that failed, if one did, is marked."""
    traces = scratch / "traces"
    traces.mkdir()
    traced = dataclasses.replace(box, traces=traces)
    selection = Selection([lab], [name], directory=checks)
    session = run_checks(builds, traced, selection, lambda *_: None, scratch / "out")
    if len(session.report.results) != 1:
        names = ", ".join(result.check.name for result in session.report.results)
        raise Unusable(f"{name} begins the names of several checks: {names}")
    (result,) = session.report.results
    timeline = collect(f"{lab} · {result.check.title}: {result.verdict}", traces, result.conversations)
    for number, step in enumerate(result.steps, 1):
        begin, failed = (
            result.begun + step["seconds"],
            result.begun + step["until"] if step["failed"] else None,
        )
        timeline.steps.append(Moment(number, begin, step["text"], failed))
    if result.verdict == FAIL and timeline.failure() is None:  # between two steps
        reason = Moment(len(result.steps) + 1, result.failed, result.reason, result.failed)
        timeline.steps.append(reason)
    return timeline


def failed_timelines(
    report: Report, builds: dict[str, Build], box: Box, most: int, checks: Path
) -> dict[str, str]:
    """Pictures of the first failed checks, by their names: each is run once more, under strace if that is
    installed.
    """
    pictures = {result.check.name: result.picture for result in report.results if result.picture}
    traced = [result for result in report.results if result.verdict == FAIL]
    failed = [result for result in traced if result.rung not in ("build", "schedule")]
    for result in failed[:most] if shutil.which("strace") else []:
        with tempfile.TemporaryDirectory() as scratch, contextlib.suppress(Unusable):
            timeline = trace_check(builds, box, result.check.lab, result.check.name, Path(scratch), checks)
            if timeline.lanes:
                pictures[result.check.name] = draw.svg(timeline)
    return pictures
