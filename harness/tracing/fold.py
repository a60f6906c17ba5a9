"""Leaves of a timeline what shows the failure: up to the step that failed, and what is alike only once."""

from __future__ import annotations

import bisect
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from .strace import Event, Lane, Moment, Span, Timeline

MOST_LANES = 9
_PERIODS = range(1, 9)  # events that a loop may have
_REPEATED = 3  # times, from which on a loop is told once


@dataclass
class Shown:
    """A lane of the picture: what stands beside it, and how it is at the end."""

    lane: Lane
    alike: int = 0  # lanes that do the same, and are not shown
    state: str = ""  # at the end: "zombie", "in accept", "runs", "" if it is over
    holds: list[str] = field(default_factory=list)  # clients whose connections it has open at the end
    marked: bool = False  # it is what the failure is about


@dataclass
class Picture:
    """A timeline that fits on a page."""

    title: str
    lanes: list[Shown]
    events: list[Event]
    spans: list[Span]
    steps: list[Moment]
    begin: float
    end: float
    failure: Moment | None
    more_lanes: int = 0  # that are not shown at all

    def shown(self, key: str) -> Shown | None:
        return next((one for one in self.lanes if one.lane.key == key), None)

    def moments(self) -> list[float]:
        """All times at which something happens, in order."""
        return sorted({event.time for event in self.events} | {step.begin for step in self.steps})

    def since(self, begin: float) -> Picture:
        """The picture from a moment on: lanes with nothing in it are left out."""
        spans = [replace(span, begin=max(span.begin, begin)) for span in self.spans if span.end > begin]
        events = [event for event in self.events if event.time >= begin]
        busy = {event.lane for event in events} | {event.to for event in events}
        lanes = [
            one for one in self.lanes if one.state or one.lane.key in busy or (one.lane.died or begin) > begin
        ]
        steps = [step for step in self.steps if step.begin >= begin or step.failed is not None]
        return replace(self, lanes=lanes, spans=spans, events=events, steps=steps, begin=begin)

    def until(self, end: float) -> Picture:
        """The picture up to a moment."""
        spans = [replace(span, end=min(span.end, end)) for span in self.spans if span.begin < end]
        events = [event for event in self.events if event.time <= end]
        lanes = [one for one in self.lanes if one.lane.born <= end]
        steps = [step for step in self.steps if step.begin <= end]
        return replace(self, lanes=lanes, spans=spans, events=events, steps=steps, end=end)


def fold(timeline: Timeline) -> Picture:
    """The timeline up to the failure, lanes and loops that are alike told once."""
    failure = timeline.failure()
    moments = [event.time for event in timeline.events]
    end = failure.failed if failure and failure.failed else max(moments, default=0.0)
    lanes = [lane for lane in timeline.lanes if lane.born <= end]
    for lane in lanes:
        lane.died = None if lane.died is None or lane.died > end else lane.died
    events = sorted((event for event in timeline.events if event.time <= end), key=lambda event: event.time)
    spans = [span for span in timeline.spans if span.begin <= end]
    steps = [step for step in timeline.steps if step.begin <= end]
    shown = _with_states(lanes, spans, end)
    kept, more = _few(shown, events)
    gone = {lane.key for lane in lanes} - {one.lane.key for one in kept}
    gone_clients = {lane.label for lane in lanes if lane.kind == "client" and lane.key in gone}
    events = [
        event
        for event in events
        if event.lane not in gone and event.to not in gone and event.about not in gone_clients
    ]
    spans = [replace(span, end=min(span.end, end)) for span in spans if span.lane not in gone]
    kept_events = _without_loops(events)
    spans = _without_repeated([span for span in spans if span.kind != "open"], events, kept_events)
    begin = min((event.time for event in events), default=end)
    picture = Picture(timeline.title, _ordered(kept), kept_events, spans, steps, begin, end, failure, more)
    _mark(picture)
    return picture


def _with_states(lanes: Sequence[Lane], spans: Sequence[Span], end: float) -> list[Shown]:
    last: dict[str, Span] = {}
    holds: dict[str, list[str]] = defaultdict(list)
    for one in spans:
        if one.end >= end and one.kind == "open":
            holds[one.lane].append(one.text)
        elif one.end >= end:
            last[one.lane] = one
    found = []
    for lane in lanes:
        span: Span | None = last.get(lane.key)
        if span and span.kind == "zombie":
            state = "zombie"
        elif lane.died is not None:
            state = ""
        elif lane.kind == "client":
            state = "connected"
        else:
            state = f"in {span.text}" if span and span.text else "runs"
        found.append(Shown(lane, state=state, holds=sorted(set(holds[lane.key]))))
    return found


def _few(lanes: list[Shown], events: Sequence[Event]) -> tuple[list[Shown], int]:
    """At most MOST_LANES of them: the largest groups that are alike become one, then the oldest go.

    Returns also how many of those there were.
    """
    if len(lanes) <= MOST_LANES:
        return lanes, 0
    said: dict[str, list[str]] = defaultdict(list)
    for event in events:
        said[event.lane].append(event.text.replace(event.about, "#") if event.about else event.text)
    groups: dict[tuple[object, ...], list[Shown]] = defaultdict(list)
    for one in lanes:
        texts = [re.sub(r"\d+", "0", text) for text in said[one.lane.key]]
        once = tuple(text for place, text in enumerate(texts) if place == 0 or texts[place - 1] != text)
        state = re.sub(r"\S+$", "#", one.state) if one.state.count(" ") > 1 else one.state
        groups[one.lane.kind, bool(one.lane.parent), once, state, len(one.holds)].append(one)
    count = len(lanes)
    for group in sorted(groups.values(), key=len, reverse=True):
        if count > MOST_LANES and len(group) > 1:
            group[-1].alike = len(group) - 1
            count -= group[-1].alike
            del group[:-1]
    kept = [one for group in groups.values() for one in group]
    kept.sort(
        key=lambda one: (one.lane.parent == "" and one.lane.kind != "client", bool(one.state), one.lane.born)
    )
    return kept[-MOST_LANES:], sum(1 + one.alike for one in kept[:-MOST_LANES])


def _ordered(shown: list[Shown]) -> list[Shown]:
    """Clients first, then each process with its children below it."""
    known = {one.lane.key for one in shown}
    clients = [one for one in shown if one.lane.kind == "client"]
    rest = [one for one in shown if one.lane.kind != "client"]

    def below(parent: str) -> list[Shown]:
        mine = [one for one in rest if (one.lane.parent if one.lane.parent in known else "") == parent]
        mine.sort(key=lambda one: one.lane.born)
        return [found for one in mine for found in [one, *below(one.lane.key)]]

    clients.sort(key=lambda one: one.lane.born)
    return clients + below("")


def _without_loops(events: list[Event]) -> list[Event]:
    """What a lane does again and again is told once, the first time, with how often."""
    by_lane: dict[str, list[Event]] = defaultdict(list)
    for event in events:
        by_lane[event.lane].append(event)
    kept: list[Event] = []
    for mine in by_lane.values():
        while len(shorter := _once(mine)) < len(mine):  # a loop within a loop
            mine = shorter
        kept += mine
    return sorted(kept, key=lambda event: event.time)


def _once(events: list[Event]) -> list[Event]:
    texts = [re.sub(r"\d+", "0", event.text) + event.to for event in events]
    kept: list[Event] = []
    place = 0
    while place < len(events):
        period, times = _loop(texts, place)
        *most, end = events[place : place + period]
        kept += [*most, replace(end, text=f"{end.text.partition(' ×')[0]} ×{times}") if times > 1 else end]
        place += period * times
    return kept


def _without_repeated(spans: list[Span], events: list[Event], kept: list[Event]) -> list[Span]:
    """The spans that do not lead to an event which was left out."""
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        times[event.lane].append(event.time)
    shown = {(event.lane, event.time) for event in kept}

    def leads_to_shown(span: Span) -> bool:
        mine = times[span.lane]
        place = bisect.bisect_left(mine, span.end)
        return place == len(mine) or (span.lane, mine[place]) in shown

    return _merged([span for span in spans if leads_to_shown(span)], kept)


def _merged(spans: list[Span], events: list[Event]) -> list[Span]:
    """Waits that follow one another with nothing between them are one, with their number."""
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        times[event.lane].append(event.time)
    found: list[Span] = []
    last: dict[str, tuple[Span, str, int]] = {}
    for span in sorted(spans, key=lambda span: span.begin):
        mine = times[span.lane]
        before, text, number = last.get(span.lane, (None, "", 0))
        between = before and bisect.bisect_left(mine, before.end) < bisect.bisect_left(mine, span.begin)
        if before is not None and text == span.text and span.kind == before.kind and not between:
            before.end, before.text = span.end, f"{text} ×{number + 1}"
            last[span.lane] = before, text, number + 1
        else:
            one = replace(span)
            found.append(one)
            last[span.lane] = one, span.text, 1
    return found


def _loop(texts: Sequence[str], place: int) -> tuple[int, int]:
    """The loop that begins at this place: how many events it has, and how many times it is run."""
    for period in _PERIODS:
        times = 1
        while texts[place : place + period] == texts[place + period * times : place + period * (times + 1)]:
            times += 1
        if times >= _REPEATED and place + period * times <= len(texts):
            return period, times
    return 1, 1


def _mark(picture: Picture) -> None:
    """Marks what the failure is about: zombies; else who keeps a connection whose end is awaited; else who is
    busy where all should wait; else what the program sleeps in."""
    failure = picture.failure
    if failure is None:
        return
    programs = [one for one in picture.lanes if one.lane.kind != "client" and one.state]
    zombies = [one for one in programs if one.state == "zombie"]
    awaits_end = re.search(r"\b(end|EOF|closed)\b", failure.text)
    holders = [
        one
        for one in programs
        if any(re.search(rf"\b{re.escape(name)}\b", failure.text) for name in one.holds)
    ]
    busy = [one for one in programs if one.state == "runs"]
    for group in (zombies, holders if awaits_end else [], busy, programs):
        if group:
            for one in group:
                one.marked = True
            return
