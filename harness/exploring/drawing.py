"""Draws a run: a lane for each thread; who runs, who has which lock, who waits for what. Text for a terminal,
and SVG.
"""

from __future__ import annotations

import html

from .engine import Event
from .telling import Story

_LANE, _STEP, _LEFT, _TOP = 46, 26, 96, 34  # pixels
_COLORS = ("#2b6cb0", "#b7791f", "#2f855a", "#9b2c2c", "#6b46c1", "#4a5568")  # of locks
MOST = 60  # events that a picture has room for
_TAKES = ("locks", "shares")
_GIVES = ("unlocks", "unshares")


def _moments(story: Story) -> list[tuple[Event, str]]:
    """What is drawn, in order: each event with its words; of a long run the last ones."""
    return [(event, story.phrase(event)) for turn in story.turns for event in turn.events][-MOST:]


def svg(story: Story, title: str) -> str:
    """The picture of a run: time goes to the right."""
    moments = _moments(story)
    threads = list(range(len(story.run.threads)))
    width = _LEFT + _STEP * (len(moments) + 2)
    legend = _TOP + _LANE * len(threads) + 18
    height = legend + 18 * (len(moments) // 2 + 2)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="12">',
        f'<text x="4" y="16" font-weight="bold">{html.escape(title)}</text>',
    ]
    locks: dict[int, str] = {}
    for lane in threads:
        y = _TOP + _LANE * lane
        parts.append(f'<text x="4" y="{y + 16}">{html.escape(story.thread(lane))}</text>')
        parts.append(f'<line x1="{_LEFT}" y1="{y + 12}" x2="{width - 8}" y2="{y + 12}" stroke="#ddd"/>')
    held: dict[tuple[int, int], int] = {}  # thread and lock to since when
    waits: dict[int, tuple[int, int]] = {}  # thread to since when, and for what
    again: dict[int, list[int]] = {}  # thread to the locks that its waiting has unlocked

    def bar(who: int, begin: int, end: int, dy: int, color: str, words: str, dash: bool = False) -> None:
        x, y = _LEFT + _STEP * begin, _TOP + _LANE * who + dy
        style = f'fill="none" stroke="{color}" stroke-dasharray="3 2"' if dash else f'fill="{color}"'
        parts.append(
            f'<rect x="{x}" y="{y}" width="{max(4, _STEP * (end - begin))}" height="7" {style}>'
            f"<title>{html.escape(words)}</title></rect>"
        )

    def color(of: int) -> str:
        return locks.setdefault(of, _COLORS[len(locks) % len(_COLORS)])

    def release(who: int, of: int, at: int) -> None:
        if (begin := held.pop((who, of), None)) is not None:
            bar(who, begin, at + 1, 21, color(of), f"{story.thread(who)} has {story.name(of)}")

    for at, (event, words) in enumerate(moments):
        who = event.who
        x, y = _LEFT + _STEP * at, _TOP + _LANE * who
        parts.append(
            f'<g><rect x="{x}" y="{y + 4}" width="{_STEP - 2}" height="15" rx="3" fill="#cbd5e0"/>'
            f'<text x="{x + 4}" y="{y + 16}" font-size="10">{at + 1}</text>'
            f"<title>{html.escape(f'{at + 1}: {story.thread(who)} {words}')}</title></g>"
        )
        if who in waits and event.kind in ("woken", "locks", "joins", "shares", "ends", "times_out"):
            begin, of = waits.pop(who)
            bar(
                who,
                begin + 1,
                at,
                30,
                "#718096",
                f"{story.thread(who)} waits for {story.name(of)}",
                dash=True,
            )
        if event.kind in _TAKES:
            held[who, event.of] = at
        elif event.kind in _GIVES:
            release(who, event.of, at)
        elif event.kind in ("waits", "waits_for_lock"):
            waits[who] = (at, event.of)
            if event.kind == "waits":
                again[who] = [of for (owner, of) in held if owner == who]
                for of in again[who]:
                    release(who, of, at)
        elif event.kind == "woken":
            for of in again.pop(who, []):
                held[who, of] = at
    end = len(moments)
    for who, of in list(held):
        release(who, of, end)
    for who, (begin, of) in waits.items():
        bar(
            who,
            begin + 1,
            end + 1,
            30,
            "#e53e3e",
            f"{story.thread(who)} still waits for {story.name(of)}",
            dash=True,
        )
    for place, (of, shade) in enumerate(locks.items()):
        x = _LEFT + 130 * place
        parts.append(f'<rect x="{x}" y="{legend - 10}" width="16" height="7" fill="{shade}"/>')
        parts.append(f'<text x="{x + 20}" y="{legend - 2}">has {html.escape(story.name(of))}</text>')
    for at, (event, words) in enumerate(moments):
        column, row = divmod(at, len(moments) // 2 + 1)
        parts.append(
            f'<text x="{4 + column * max(300, width // 2)}" y="{legend + 18 * (row + 1)}" font-size="11">'
            f"{at + 1}  {html.escape(f'{story.thread(event.who)} {words}')}</text>"
        )
    return "".join([*parts, "</svg>\n"])


def lanes(story: Story, width: int = 100) -> list[str]:
    """The same for a terminal: a column for each thread, time goes down."""
    threads = [
        number for number in range(len(story.run.threads)) if any(turn.who == number for turn in story.turns)
    ]
    column = max(14, (width - 6) // max(1, len(threads)))
    lines = ["      " + "".join(f"{story.thread(number):<{column}}" for number in threads).rstrip()]
    begun: set[int] = set()
    ended: set[int] = set()
    for number, turn in enumerate(story.turns, 1):
        begun.add(turn.who)
        phrases = [
            phrase[i : i + column - 2] for phrase in turn.phrases for i in range(0, len(phrase), column - 2)
        ]
        for place, phrase in enumerate(phrases):
            cells = []
            for thread in threads:
                idle = "│" if thread in begun and thread not in ended else ""
                cells.append(f"{phrase if thread == turn.who else idle:<{column}}")
            lines.append(f"{number if place == 0 else '':>4}  {''.join(cells)}".rstrip())
        if turn.preempted:
            at = threads.index(turn.who)
            lines.append(f"      {' ' * (column * at)}(preempted)")
        if any(event.kind == "ends" for event in turn.events):
            ended.add(turn.who)
    return lines
