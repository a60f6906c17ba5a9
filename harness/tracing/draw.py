"""Draws a timeline: as SVG, readable in light and dark and on paper, and as text for a terminal."""

from __future__ import annotations

import math
from html import escape

from .strace import Lane, Timeline

LANE, LABEL, CHARACTER, MARGIN = 40, 170, 6.6, 14
ROW, TOP = 16, 58  # of a picture whose time runs down
MOST_EVENTS = 300

_STYLE = """
svg.timeline { font: 12px system-ui, sans-serif; --ink: #1f2328; --soft: #d0d7de; --wait: #eaeef2;
  --zombie: #f6d3d0; --bytes: #0b57d0; --signal: #b35900; --end: #c62828; --paper: #ffffff; }
@media (prefers-color-scheme: dark) { svg.timeline { --ink: #e6edf3; --soft: #3d444d; --wait: #262c36;
  --zombie: #5a2320; --bytes: #8ab4f8; --signal: #f0a35e; --end: #ff7b72; --paper: #0d1117; } }
@media print { svg.timeline { --ink: #000; --soft: #999; --wait: #eee; --zombie: #ddd; --bytes: #000;
  --signal: #000; --end: #000; --paper: #fff; } }
svg.timeline .paper { fill: var(--paper); } svg.timeline text { fill: var(--ink); }
svg.timeline .life { stroke: var(--ink); stroke-width: 1.5; }
svg.timeline .row { stroke: var(--soft); stroke-dasharray: 1 5; }
svg.timeline .waiting { fill: var(--wait); stroke: var(--soft); }
svg.timeline .zombie { fill: var(--zombie); stroke: var(--end); stroke-dasharray: 3 2; }
svg.timeline .span { font-style: italic; opacity: .8; }
svg.timeline .over { paint-order: stroke; stroke: var(--paper); stroke-width: 4; }
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


def _places(timeline: Timeline) -> dict[float, float]:
    """The x of every moment: in order, a longer wait is wider, and no two texts of a lane overlap."""
    moments: list[tuple[float, str, float]] = []
    for event in timeline.events:
        moments.append((event.time, event.lane, 12 + CHARACTER * len(event.text)))
    for span in timeline.spans:
        moments += [(span.begin, span.lane, 0), (span.end, span.lane, 0)]
    for lane in timeline.lanes:
        moments += [(lane.born, lane.key, 0)] + ([(lane.died, lane.key, 0)] if lane.died else [])
    moments += [(moment, "", 0) for moment, _ in timeline.marks]
    moments.sort(key=lambda entry: entry[0])
    places: dict[float, float] = {}
    occupied: dict[str, float] = {}
    x, before = float(LABEL), moments[0][0] if moments else 0.0
    for moment, where, width in moments:
        if moment not in places:
            x += min(60.0, max(3.0, 9 * math.log10(1 + (moment - before) * 1e5)))
            before = moment
        if width:
            x = max(x, occupied.get(where, 0.0))
            occupied[where] = x + width
        places[moment] = max(x, places.get(moment, 0.0))
    return places


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
        f"{timeline.title} (the first {MOST_EVENTS} events)", lanes, spans, events, timeline.marks
    )


def svg(timeline: Timeline) -> str:
    """The timeline as one SVG element, with no script and everything escaped."""
    timeline = _shortened(timeline)
    places = _places(timeline)
    lanes = _ordered(timeline)
    row = {lane.key: MARGIN + 34 + LANE * place for place, lane in enumerate(lanes)}
    right = (
        max([places[event.time] + CHARACTER * len(event.text) for event in timeline.events], default=LABEL)
        + 30
    )
    height = MARGIN + 34 + LANE * len(lanes)
    end = max(places.values(), default=LABEL) + 12
    out = _opened(timeline, right, height)
    for lane in lanes:
        y, indent = row[lane.key], 14 if lane.parent else 0
        out.append(f'<line class="row" x1="{LABEL}" x2="{right - 10:.0f}" y1="{y}" y2="{y}"/>')
        died = places[lane.died] if lane.died else end
        out.append(f'<line class="life" x1="{places[lane.born]:.0f}" x2="{died:.0f}" y1="{y}" y2="{y}"/>')
        out.append(f'<text x="{MARGIN + indent}" y="{y + 4}">{escape(lane.label)}</text>')
    for span in timeline.spans:
        x, y = places[span.begin], row[span.lane]
        width = max(2.0, places[span.end] - x)
        out.append(
            f'<rect class="{span.kind}" x="{x:.0f}" y="{y - 4}" width="{width:.0f}" height="16" rx="3"/>'
        )
        if width > CHARACTER * len(span.text):
            out.append(
                f'<text class="span" x="{x + 5:.0f}" y="{y + 8}" font-size="11">{escape(span.text)}</text>'
            )
    for event in timeline.events:
        x, y = places[event.time], row[event.lane]
        if event.to:
            target = row[event.to]
            out.append(f'<path class="arrow" d="M{x:.0f} {y}V{target - (5 if target > y else -5)}"/>')
        out.append(f'<circle class="dot {event.kind}" cx="{x:.0f}" cy="{y}" r="3"/>')
        out.append(
            f'<text class="{event.kind}" x="{x + 4:.0f}" y="{y - 7}" font-size="11">'
            f"{escape(event.text)}</text>"
        )
    for moment, text in timeline.marks:
        x = places[moment]
        out.append(f'<line class="mark" x1="{x:.0f}" x2="{x:.0f}" y1="26" y2="{height - 6}"/>')
        out.append(f'<text class="mark" x="{x + 5:.0f}" y="{height - 8}">{escape(text)}</text>')
    return "\n".join([*out, "</svg>"])


def tall_svg(timeline: Timeline) -> str:
    """The same with time running down, a column a lane: as wide as a page, for handouts."""
    timeline = _shortened(timeline)
    lanes = _ordered(timeline)
    column, x = {}, float(MARGIN)
    for lane in lanes:
        texts = [event.text for event in timeline.events if event.lane == lane.key]
        texts += [span.text for span in timeline.spans if span.lane == lane.key]
        column[lane.key] = x + 6
        x += 22 + max(7.4 * len(lane.label), *(CHARACTER * len(text) for text in texts))
    right = max(x, MARGIN * 2 + 7.2 * len(timeline.title))
    down = _rows(timeline)
    taken = {(event.time, event.lane) for event in timeline.events}
    end = max(down.values(), default=TOP) + 14
    out = _opened(timeline, right, end + MARGIN)
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
        below = top + 6 + (ROW if (span.begin, span.lane) in taken else 0)
        if bottom > below:
            out.append(
                f'<text class="span" x="{at + 9:.0f}" y="{below:.0f}" font-size="11">'
                f"{escape(span.text)}</text>"
            )
    for event in timeline.events:
        at, y = column[event.lane], down[event.time]
        if event.to:
            out.append(
                f'<path class="arrow" d="M{at:.0f} {y:.0f}'
                f'H{column[event.to] - (6 if column[event.to] > at else -6):.0f}"/>'
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
    moments = [(event.time, event.lane, ROW) for event in timeline.events]
    for span in timeline.spans:
        moments += [(span.begin, span.lane, ROW), (span.end, span.lane, 0)]
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


def _opened(timeline: Timeline, width: float, height: float) -> list[str]:
    """The beginning of a picture: its size, its name, its looks."""
    return [
        f'<svg class="timeline" xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" role="img" aria-label="{escape(timeline.title)}">',
        f"<title>{escape(timeline.title)}</title><style>{_STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto">'
        '<path d="M0 0 8 4 0 8z"/></marker></defs>',
        f'<rect class="paper" width="100%" height="100%"/>'
        f'<text x="{MARGIN}" y="20" font-weight="600">{escape(timeline.title)}</text>',
    ]


def text(timeline: Timeline, width: int = 100) -> str:
    """The timeline as text: a line a moment, a column a lane; narrow terminals name the lane instead."""
    timeline = _shortened(timeline)
    lanes = _ordered(timeline)
    moments = [
        (event.time, event.lane, event.text + (f" → {timeline.lane(event.to).label}" if event.to else ""))
        for event in timeline.events
    ]
    moments += [
        (span.begin, span.lane, f"({span.text}…") for span in timeline.spans if span.kind == "waiting"
    ]
    moments += [(span.begin, span.lane, "zombie…") for span in timeline.spans if span.kind == "zombie"]
    moments += [(moment, "", f"*** {what}") for moment, what in timeline.marks]
    moments.sort(key=lambda entry: entry[0])
    begin = moments[0][0] if moments else 0.0
    column = max(16, (width - 10) // max(1, len(lanes)))
    lines = [timeline.title]
    if column * len(lanes) + 10 <= width:
        lines.append("      ms  " + "".join(f"{lane.label:<{column}}" for lane in lanes))
        for moment, key, what in moments:
            cells = []
            for lane in lanes:
                alive = lane.born <= moment and (lane.died is None or moment <= lane.died)
                cells.append(f"{what[: column - 1] if lane.key == key else '│' if alive else '':<{column}}")
            row = "".join(cells) if key else what
            lines.append(f"{(moment - begin) * 1000:8.1f}  {row}".rstrip())
    else:
        labels = {lane.key: lane.label for lane in lanes}
        wide = max((len(label) for label in labels.values()), default=0)
        lines += [
            f"{(m - begin) * 1000:8.1f}  {labels.get(key, ''):<{wide}}  {what}" for m, key, what in moments
        ]
    return "\n".join(lines)
