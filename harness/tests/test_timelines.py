"""Timelines: they fit on a page, end at the step that failed, and show what it is about."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tracing import draw, strace
from tracing.fold import MOST_LANES, fold
from tracing.strace import Event, Lane, Moment, Span, Timeline

PAGE, SCREEN = 960, 600


def forking(clients: int, unreaped: int, after: float = 7.0) -> Timeline:
    """A server that forks for each client, one after the other, and leaves the last children unreaped."""
    timeline = Timeline("lab04 · many clients leave nothing behind: fail")
    timeline.lanes.append(Lane("1", "upper_server 1", "process", 0.0))
    for number in range(1, clients + 1):
        name, child, begin = f"client {number}", str(1000 + number), number * 0.001
        timeline.add_client(
            name, [(begin, "connect"), (begin + 0.0004, "sends 1"), (begin + 0.0008, "close")]
        )
        timeline.lanes.append(Lane(child, f"process {child}", "process", begin + 0.0002, begin + 0.0009, "1"))
        timeline.events += [
            Event("1", begin + 0.0001, f"accept {name}", about=name),
            Event("1", begin + 0.0002, "fork", "birth", to=child),
            Event(child, begin + 0.0005, f"recv {name} 1", "bytes", about=name),
            Event(child, begin + 0.0009, "exit 0", "death"),
        ]
        reaped = clients * 0.001 + 100 if number > clients - unreaped else begin + 0.00095
        timeline.spans.append(Span(child, begin + 0.0009, reaped, "zombie", "zombie"))
    end = clients * 0.001 + 0.002
    timeline.steps = [
        Moment(1, 0.0, "upper_server listens"),
        Moment(2, 0.0005, f"{clients} clients come and go"),
        Moment(3, end, "no zombie is left", end + after),
    ]
    timeline.events.append(Event("1", end + after + 1, "killed by SIGKILL", "death"))
    return timeline


@pytest.mark.parametrize(("clients", "unreaped"), [(3, 1), (30, 3), (5000, 4)])
def test_any_number_of_clients_fits_on_a_page(clients: int, unreaped: int) -> None:
    timeline = forking(clients, unreaped)
    picture = ElementTree.fromstring(draw.svg(timeline))
    assert int(picture.attrib["width"]) <= PAGE
    assert int(picture.attrib["height"]) <= SCREEN
    for element in picture.iter():
        for name in ("x", "x1", "x2", "cx"):
            assert 0 <= float(element.attrib.get(name, 0)) <= PAGE
    words = ["".join(element.itertext()) for element in picture.iter() if element.tag.endswith("text")]
    assert any(word.startswith("3  no zombie is left") for word in words), words
    zombies = [one for one in fold(timeline).lanes if one.state == "zombie"]
    assert sum(1 + one.alike for one in zombies) == unreaped
    assert all(one.marked for one in zombies)
    assert not any("SIGKILL" in word for word in words), "what comes after the failure is not shown"
    assert any("//" in line for line in draw.text(timeline).splitlines()), "the long wait is folded"


def test_lanes_that_are_alike_are_told_with_their_number() -> None:
    picture = fold(forking(5000, 4))
    assert len(picture.lanes) <= MOST_LANES
    assert sum(1 + one.alike for one in picture.lanes) + picture.more_lanes == 10_001
    svg = draw.svg(forking(5000, 4))
    assert re.search(r"and \d{4} like it", svg)


def test_a_loop_is_told_once_with_its_number() -> None:
    timeline = Timeline("spins", [Lane("1", "upper_server 1", "process", 0.0)])
    timeline.events.append(Event("1", 0.01, "listen"))
    for number in range(4000):
        at = 0.1 + number * 0.0001
        timeline.events += [
            Event("1", at, "select → 1"),
            Event("1", at + 0.00005, "recv ann EOF", about="ann"),
        ]
    timeline.steps = [Moment(1, 0.2, "upper_server waits without using the CPU", 0.5)]
    picture = fold(timeline)
    assert [event.text for event in picture.events] == ["listen", "select → 1", "recv ann EOF ×4000"]
    assert picture.lanes[0].state == "runs"
    assert picture.lanes[0].marked


def test_the_text_fits_an_old_terminal() -> None:
    lines = draw.text(forking(5000, 4), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 3 * draw.MOST_LINES
    assert "no zombie is left" in "\n".join(lines)


TRACE = """\
10 100.000000 execve("/x/upper_server", ["upper_server"], 0x7 /* 4 vars */) = 0 <0.0001>
10 100.010000 listen(3<TCP:[127.0.0.1:4444]>, 128) = 0 <0.00001>
10 100.020000 accept(3<TCP:[127.0.0.1:4444]>, NULL, NULL) = 4<TCP:[127.0.0.1:4444->127.0.0.1:50001]> <0.02>
10 100.050000 clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD) = 11 <0.0001>
11 100.060000 recvfrom(4<TCP:[127.0.0.1:4444->127.0.0.1:50001]>, "", 1000, 0, NULL, NULL) = 0 <0.0001>
11 100.070000 exit_group(0) = ?
11 100.080000 +++ exited with 0 +++
10 100.090000 recvfrom(4<TCP:[127.0.0.1:4444->127.0.0.1:50001]>, 0x7, 1, 0, NULL, NULL) = -1 EAGAIN (…) <0.01>
10 100.100000 accept(3<TCP:[127.0.0.1:4444]>, """


def test_who_keeps_a_connection_open_is_what_the_failure_is_about(tmp_path: Path) -> None:
    (tmp_path / "x.strace").write_text(TRACE)
    timeline = Timeline("parent keeps it")
    timeline.add_client("ann", [(100.01, "connect"), (100.05, "half-close")])
    strace.read(tmp_path / "x.strace", "upper_server", {50001: "ann"}, timeline)
    timeline.steps = [Moment(4, 100.095, "ann sees the end of the connection", 105.0)]
    server = fold(timeline).shown("10")
    child = fold(timeline).shown("11")
    assert server and child
    assert (server.state, server.holds, server.marked) == (
        "in accept",
        ["ann"],
        False,
    ), "the zombie comes first"
    assert (child.state, child.holds) == ("zombie", [])
    assert "recv ann EAGAIN" in {event.text for event in timeline.events}
    timeline.spans = [span for span in timeline.spans if span.kind != "zombie"]
    server = fold(timeline).shown("10")
    assert server and server.marked


def test_waits_that_follow_one_another_are_one() -> None:
    timeline = Timeline("sleeps", [Lane("1", "child 1", "process", 0.0)])
    timeline.events.append(Event("1", 0.01, "exec"))
    timeline.spans = [Span("1", number, number + 0.9, "waiting", "sleep") for number in range(1, 41)]
    timeline.steps = [Moment(1, 0.5, "every child has exited", 40.5)]
    (span,) = fold(timeline).spans
    assert (span.begin, span.end, span.text) == (1, 40.5, "sleep ×40")
    picture = ElementTree.fromstring(draw.svg(timeline))
    assert all(float(element.attrib.get("x", 0)) <= PAGE for element in picture.iter())
