"""Draws a timeline: as SVG, readable in light and dark and on paper, and as text for a terminal."""

from __future__ import annotations

import math
from html import escape

from .fold import Picture, Shown, fold
from .strace import Lane, Span, Timeline

LABEL, STATE, WIDTH = 158, 150, 960  # the columns at both sides, and the whole
ROW, CHARACTER, MARGIN = 36, 6.1, 12
AXIS = 52  # of the steps' numbers
LONG = 0.05  # seconds of waiting, from which on the axis is broken

COLUMN, DOWN, TOP = 6.6, 16, 58  # of a picture whose time runs down: a character, a row, its beginning
MOST_EVENTS = 300  # of it
MOST_LINES = 40  # of a failure's timeline as text

_STYLE = """
svg.timeline { font: 12px system-ui, sans-serif; --ink: #1f2328; --dim: #59636e; --soft: #d0d7de;
  --wait: #eaeef2; --zombie: #f6d3d0;
 --bytes: #0b57d0; --signal: #b35900; --end: #c62828; --paper: #ffffff; }
@media (prefers-color-scheme: dark) { svg.timeline { --ink: #e6edf3; --dim: #9198a1; --soft: #3d444d;
  --wait: #262c36; --zombie: #5a2320;
 --bytes: #8ab4f8; --signal: #f0a35e; --end: #ff7b72; --paper: #0d1117; } }
@media print { svg.timeline { --ink: #000; --dim: #000; --soft: #999; --wait: #eee; --zombie: #ddd;
  --bytes: #000; --signal: #000;
 --end: #000; --paper: #fff; } }
svg.timeline .paper { fill: var(--paper); } svg.timeline text { fill: var(--ink); }
svg.timeline .life { stroke: var(--ink); stroke-width: 1.5; }
svg.timeline .row { stroke: var(--soft); stroke-dasharray: 1 5; }
svg.timeline .waiting { fill: var(--wait); stroke: var(--soft); }
svg.timeline .zombie { fill: var(--zombie); stroke: var(--end); stroke-dasharray: 3 2; }
svg.timeline .span { font-style: italic; opacity: .8; }
svg.timeline .over { paint-order: stroke; stroke: var(--paper); stroke-width: 4; }
svg.timeline .soft, svg.timeline .number { fill: var(--dim); }
svg.timeline .fold { stroke: var(--dim); fill: none; }
svg.timeline .about { fill: var(--end); font-weight: 600; }
svg.timeline rect.about { fill: var(--zombie); stroke: var(--end); stroke-width: 2; }
svg.timeline .dot { fill: var(--ink); }
svg.timeline .dot.bytes { fill: var(--bytes); }
svg.timeline text.bytes { fill: var(--bytes); }
svg.timeline .dot.signal, svg.timeline text.signal { fill: var(--signal); }
svg.timeline .dot.death, svg.timeline text.death { fill: var(--end); }
svg.timeline .arrow { stroke: var(--ink); fill: none; marker-end: url(#tip); }
svg.timeline marker path { fill: var(--ink); }
svg.timeline .mark { stroke: var(--end); stroke-width: 2; stroke-dasharray: 6 3; }
svg.timeline text.mark { fill: var(--end); font-weight: 600; stroke: none; }
"""


def _ordered(timeline: Timeline) -> list[Lane]:
    """Clients first, then each process with its children below it."""
    clients = [lane for lane in timeline.lanes if lane.kind == "client"]
    rest = [lane for lane in timeline.lanes if lane.kind != "client"]

    def below(parent: str) -> list[Lane]:
        return [found for lane in rest if lane.parent == parent for found in [lane, *below(lane.key)]]

    return clients + below("")


def _shortened(timeline: Timeline) -> Timeline:
    """The timeline up to as many events as a reader can take in."""
    if len(timeline.events) <= MOST_EVENTS:
        return timeline
    kept = sorted(timeline.events, key=lambda event: event.time)[:MOST_EVENTS]
    end = kept[-1].time
    lanes = [lane for lane in timeline.lanes if lane.born <= end]
    for lane in lanes:
        lane.died = min(lane.died, end) if lane.died else None
    known = {lane.key for lane in lanes}
    spans = [span for span in timeline.spans if span.begin <= end and span.lane in known]
    for span in spans:
        span.end = min(span.end, end)
    events = [event for event in kept if event.to in known | {""}]
    return Timeline(
        f"{timeline.title} (the first {MOST_EVENTS} events)", lanes, spans, events, timeline.steps
    )


def _places(picture: Picture) -> tuple[dict[float, float], float]:
    """The x of every moment, in order, so that no texts of a lane overlap; and where the last one ends."""
    moments: list[tuple[float, str, float]] = []
    for event in picture.events:
        moments.append((event.time, event.lane, 10 + CHARACTER * len(event.text)))
    for span in picture.spans:
        moments += [(span.begin, span.lane, 0), (span.end, span.lane, 0)]
    for one in picture.lanes:
        moments += [(moment, "", 0) for moment in (one.lane.born, one.lane.died) if moment is not None]
    moments += [(step.begin, "", 0) for step in picture.steps]
    moments = sorted(
        (entry for entry in moments if picture.begin <= entry[0] <= picture.end), key=lambda e: e[0]
    )
    moments += [(picture.end, "", 0)]
    places: dict[float, float] = {}
    occupied: dict[str, float] = {}
    x, before = float(LABEL), picture.begin
    for moment, where, width in moments:
        if moment not in places:
            x += _gap(moment - before)
            before = moment
        if width:
            x = max(x, occupied.get(where, 0.0))
            occupied[where] = x + width
        places[moment] = max(x, places.get(moment, 0.0))
    return places, max([*places.values(), *occupied.values()])


def _gap(seconds: float) -> float:
    """How far two moments stand apart: more for more time, but a long wait is folded."""
    return 80.0 if seconds > LONG else min(20.0, max(1.0, 5 * math.log10(1 + seconds * 1e5)))


def fitted(timeline: Timeline) -> Picture:
    """What of the timeline fits on a page: the end, if something failed, else the beginning."""
    picture = fold(timeline)
    moments = picture.moments()
    low, high = 0, max(0, len(moments) - 1)
    while low < high:
        middle = (low + high) // 2
        if picture.failure:
            candidate = picture.since(moments[middle])
        else:
            candidate = picture.until(moments[-1 - middle])
        if _places(candidate)[1] > WIDTH - STATE - 10:
            low = middle + 1
        else:
            high = middle
    if low == 0:
        return picture
    return picture.since(moments[low]) if picture.failure else picture.until(moments[-1 - low])


def svg(timeline: Timeline) -> str:
    """The timeline as one SVG element, as wide as a page, with no script and everything escaped."""
    picture = fitted(timeline)
    places, _ = _places(picture)
    if picture.failure:
        places[picture.end] = float(WIDTH - STATE - 4)
    row = {one.lane.key: MARGIN + AXIS + 22 + ROW * place for place, one in enumerate(picture.lanes)}
    bottom = MARGIN + AXIS + ROW * len(picture.lanes)
    right = WIDTH - STATE

    def at(moment: float | None) -> float:
        return places.get(max(picture.begin, min(moment, picture.end)), float(LABEL)) if moment else right

    out = _opened(timeline.title, WIDTH, bottom + 34)
    out += _axis(picture, places, bottom)
    for one in picture.lanes:
        lane, y, indent = one.lane, row[one.lane.key], 12 if one.lane.parent else 0
        end = at(lane.died) if lane.died is not None else at(picture.end)
        begin = at(lane.born) if lane.born >= picture.begin else float(LABEL)
        out.append(f'<line class="row" x1="{LABEL}" x2="{right}" y1="{y}" y2="{y}"/>')
        out.append(f'<line class="life" x1="{begin:.0f}" x2="{max(begin, end):.0f}" y1="{y}" y2="{y}"/>')
        out.append(f'<text x="{MARGIN + indent}" y="{y + 4}">{escape(_label(lane))}</text>')
        if one.alike:
            out.append(
                f'<text class="soft" x="{MARGIN + indent}" y="{y + 17}" font-size="11">and {one.alike} like '
                "it</text>"
            )
    for span in picture.spans:
        if span.lane in row:
            out += _span(span, picture, at(span.begin), at(span.end), row[span.lane])
    for event in picture.events:
        if event.lane in row and event.to in row:
            x, y, target = at(event.time), row[event.lane], row[event.to]
            out.append(f'<path class="arrow" d="M{x:.0f} {y}V{target - (5 if target > y else -5)}"/>')
    for event in picture.events:
        if event.lane in row:
            x, y = at(event.time), row[event.lane]
            out.append(f'<circle class="dot {event.kind}" cx="{x:.0f}" cy="{y}" r="3"/>')
            label = escape(event.text)
            out.append(
                f'<text class="{event.kind} over" x="{x + 3:.0f}" y="{y - 7}" font-size="11">{label}</text>'
            )
    for one in picture.lanes:
        kind, y = "about" if one.marked else "soft", row[one.lane.key]
        words = _states(one)
        for line, text in enumerate(words):
            place = y + 4 + 14 * line - (5 if len(words) > 1 else 0)
            out.append(
                f'<text class="{kind}" x="{right + 8}" y="{place}" font-size="12">'
                f"{escape(_short(text, 23))}</text>"
            )
    if picture.more_lanes:
        out.append(
            f'<text class="soft" x="{MARGIN}" y="{bottom + 24}" font-size="11">and {picture.more_lanes} '
            "other lanes</text>"
        )
    if picture.failure:
        x, text = at(picture.end), f"{picture.failure.number}  {picture.failure.text}…"
        out.append(f'<line class="mark" x1="{x:.0f}" x2="{x:.0f}" y1="{MARGIN + 20}" y2="{bottom + 10}"/>')
        out.append(
            f'<text class="mark" x="{x:.0f}" y="{bottom + 25}" text-anchor="end">'
            f"{escape(_short(text, 110))}</text>"
        )
    return "\n".join([*out, "</svg>"])


def _axis(picture: Picture, places: dict[float, float], bottom: float) -> list[str]:
    """The numbers of the story's steps, and the long waits, which are folded."""
    y, out, taken = MARGIN + AXIS - 14, [], 0.0
    first = min((step.number for step in picture.steps if step.begin >= picture.begin), default=0)
    if first > 1:
        before = f"steps 1 to {first - 1} before" if first > 2 else "step 1 before"
        out.append(f'<text class="soft" x="{MARGIN}" y="{y + 4}" font-size="11">{before}</text>')
    elif picture.steps:
        out.append(f'<text class="soft" x="{MARGIN}" y="{y + 4}" font-size="11">step</text>')
    for step in picture.steps:
        if step.begin < picture.begin:
            continue
        x = max(places[step.begin], taken)
        taken = x + 8 + 7 * len(str(step.number))
        kind = "mark" if step.failed is not None else "number"
        out.append(f'<text class="{kind}" x="{x:.0f}" y="{y + 4}" font-size="11">{step.number}</text>')
        out.append(
            f'<line class="row" x1="{places[step.begin]:.0f}" x2="{places[step.begin]:.0f}" y1="{y + 9}" '
            f'y2="{bottom}"/>'
        )
    moments = sorted(places)
    for one, next_one in zip(moments, moments[1:]):
        if next_one - one > LONG:
            x = places[next_one] - 26
            shown = f"{next_one - one:.1f} s"
            out.append(
                f'<text class="soft" x="{x:.0f}" y="{y - 10}" font-size="11" text-anchor="middle">'
                f"{shown}</text>"
            )
            out.append(f'<path class="fold" d="M{x - 5:.0f} {y + 14}l5 -10M{x:.0f} {y + 14}l5 -10"/>')
    return out


def _span(span: Span, picture: Picture, begin: float, end: float, y: float) -> list[str]:
    """A box below the line: waiting in a call, or being a zombie."""
    one = picture.shown(span.lane)
    about = " about" if one and one.marked and span.end >= picture.end else ""
    width = max(2.0, end - begin)
    out = [
        f'<rect class="{span.kind}{about}" x="{begin:.0f}" y="{y - 4}" width="{width:.0f}" height="16" '
        'rx="3"/>'
    ]
    if width > 5.6 * len(span.text) + 8:
        out.append(
            f'<text class="span" x="{begin + 5:.0f}" y="{y + 8}" font-size="11">{escape(span.text)}</text>'
        )
    return out


def _label(lane: Lane) -> str:
    """Its name, with the process's number if there is room for it."""
    return _short(lane.label if len(lane.label) <= 22 else lane.label.partition(" ")[0], 22)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def tall_svg(timeline: Timeline) -> str:
    """The same with time running down, a column a lane: as wide as a page, for handouts."""
    timeline = _shortened(timeline)
    timeline.spans = [span for span in timeline.spans if span.kind != "open"]
    lanes = _ordered(timeline)
    column, x = {}, float(MARGIN)
    for lane in lanes:
        texts = [event.text for event in timeline.events if event.lane == lane.key]
        texts += [span.text for span in timeline.spans if span.lane == lane.key]
        column[lane.key] = x + 6
        x += 22 + max(7.4 * len(lane.label), *(COLUMN * len(text) for text in texts))
    right = max(x, MARGIN * 2 + 7.2 * len(timeline.title))
    down = _rows(timeline)
    taken = {(event.time, event.lane) for event in timeline.events}
    end = max(down.values(), default=TOP) + 14
    out = _opened(timeline.title, right, end + MARGIN)
    for lane in lanes:
        at, died = column[lane.key], down[lane.died] if lane.died else end
        out.append(f'<text x="{at - 6:.0f}" y="{TOP - 14}" font-weight="600">{escape(lane.label)}</text>')
        out.append(f'<line class="row" x1="{at:.0f}" x2="{at:.0f}" y1="{TOP - 8}" y2="{end:.0f}"/>')
        out.append(
            f'<line class="life" x1="{at:.0f}" x2="{at:.0f}" y1="{down[lane.born]:.0f}" y2="{died:.0f}"/>'
        )
    for span in timeline.spans:
        at, top, bottom = column[span.lane], down[span.begin], down[span.end]
        out.append(
            f'<rect class="{span.kind}" x="{at - 5:.0f}" y="{top:.0f}" width="10" '
            f'height="{max(2.0, bottom - top):.0f}" rx="3"/>'
        )
        below = top + 6 + (DOWN if (span.begin, span.lane) in taken else 0)
        if bottom > below:
            out.append(
                f'<text class="span" x="{at + 9:.0f}" y="{below:.0f}" font-size="11">'
                f"{escape(span.text)}</text>"
            )
    for event in timeline.events:
        at, y = column[event.lane], down[event.time]
        if event.to:
            out.append(
                f'<path class="arrow" d="M{at:.0f} '
                f'{y:.0f}H{column[event.to] - (6 if column[event.to] > at else -6):.0f}"/>'
            )
    for event in timeline.events:
        at, y = column[event.lane], down[event.time]
        out.append(f'<circle class="dot {event.kind}" cx="{at:.0f}" cy="{y:.0f}" r="3"/>')
        out.append(
            f'<text class="{event.kind} over" x="{at + 9:.0f}" y="{y + 4:.0f}" font-size="11">'
            f"{escape(event.text)}</text>"
        )
    return "\n".join([*out, "</svg>"])


def _rows(timeline: Timeline) -> dict[float, float]:
    """The y of every moment: in order, and no two texts of a lane overlap."""
    moments = [(event.time, event.lane, DOWN) for event in timeline.events]
    for span in timeline.spans:
        moments += [(span.begin, span.lane, DOWN), (span.end, span.lane, 0)]
    for lane in timeline.lanes:
        moments += [(lane.born, lane.key, 0)] + ([(lane.died, lane.key, 0)] if lane.died else [])
    rows: dict[float, float] = {}
    occupied: dict[str, float] = {}
    y = float(TOP)
    for moment, where, height in sorted(moments):
        y = max(y + 3, occupied.get(where, 0.0)) if moment not in rows else rows[moment]
        if height:
            occupied[where] = max(y, occupied.get(where, 0.0)) + height
        rows[moment] = y
    return rows


def _opened(title: str, width: float, height: float) -> list[str]:
    """The beginning of a picture: its size, its name, its looks."""
    return [
        f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title><style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="paper" width="100%" height="100%"/><text x="{MARGIN}" y="20" font-weight="600">'
        f"{escape(title)}</text>",
    ]


def text(timeline: Timeline, width: int = 80) -> str:
    """The timeline as text, a line a moment, at most `width` columns: if something failed, what fits on a
    page before that, else all, or the beginning of what is very long.
    """
    picture = fitted(timeline) if timeline.failure() else fold(timeline)
    moments, left = picture.moments(), 0
    if picture.failure and len(moments) > MOST_LINES:
        picture = picture.since(moments[-MOST_LINES])
    elif len(moments) > MOST_EVENTS:
        left = len(moments) - MOST_EVENTS
        picture = picture.until(moments[MOST_EVENTS - 1])
    names = {one.lane.key: one.lane.label for one in picture.lanes}
    rows = [
        (event.time, event.lane, event.text + (f" → {names[event.to]}" if event.to in names else ""))
        for event in picture.events
        if event.lane in names
    ]
    rows += [
        (span.begin, span.lane, f"{span.text}…") for span in picture.spans if span.lane in names and span.text
    ]
    rows += [(step.begin, "", f"{step.number:>2}  {step.text}") for step in picture.steps]
    rows.sort(key=lambda row: row[0])
    wide = max((len(name) for name in names.values()), default=0)
    if picture.failure:
        about = [one for one in picture.lanes if one.marked]
        rows += [(picture.end, one.lane.key, f"*** {', '.join(_states(one))}") for one in about]
        rows.append((picture.end, "", f"{picture.failure.number:>2}  {picture.failure.text}… failed"))
    lines = [timeline.title]
    last = picture.begin
    for moment, key, what in rows:
        if moment - last > LONG:
            lines.append(f"{'//':>9}  {moment - last:.1f} s")
        last = moment
        place = f"{(moment - picture.begin) * 1000:9.1f}  {names[key]:<{wide}}" if key else f"{'':9}"
        lines.append(f"{place}  {what}")
    if left:
        lines.append(f"{'':9}  … and {left} moments more")
    return "\n".join(_short(line, width) for line in lines)


def _states(one: Shown) -> list[str]:
    """How a lane is at the end, in a word or two."""
    words = [one.state] if one.state != "connected" else []
    held = f"holds {', '.join(one.holds[:3])}{'…' if len(one.holds) > 3 else ''}"
    return words + [held] if one.holds else words
