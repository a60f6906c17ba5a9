"""Judges what several threads did with one queue: is there an order of the calls that a plain queue could
have had?

Linearizability (Herlihy and Wing, 1990), decided by the search of Wing and Gong (1993): each call takes
effect at one moment between its beginning and its return.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_LINE = re.compile(r"([<>]) (\S+) ([^:]+?)(?:: (.*))?")
TOO_OFTEN = "task_done: more often than put"


@dataclass(frozen=True)
class Call:
    """A call of a history. `begin` and `end` are places in it; without an end it has not returned."""

    thread: str
    order: str  # "put 7 0.5"
    result: str | None
    begin: int
    end: float

    @property
    def words(self) -> list[str]:
        return self.order.split()

    @property
    def limited(self) -> bool:
        """Whether it has a time limit."""
        return len(self.words) > (2 if self.words[0] == "put" else 1)


def calls(history: list[str]) -> list[Call]:
    """The calls of a history: lines `> THREAD CALL` and `< THREAD CALL: RESULT`. Throws ValueError for other
    lines.
    """
    found: list[Call] = []
    open_calls: dict[str, int] = {}
    for place, line in enumerate(history):
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(line)
        sign, thread, order, result = match.groups()
        if sign == ">":
            open_calls[thread] = len(found)
            found.append(Call(thread, order, None, place, float("inf")))
        elif thread not in open_calls or found[open_calls[thread]].order != order or result is None:
            raise ValueError(line)
        else:
            at = open_calls.pop(thread)
            found[at] = Call(thread, order, result, found[at].begin, place)
    return found


@dataclass(frozen=True)
class Queue:
    """A plain queue: what it holds, in the order of coming; how many items are unfinished; whether it is
    closed.
    """

    order: str  # fifo, lifo or priority
    capacity: int  # 0 is no limit
    items: tuple[int, ...] = ()
    unfinished: int = 0
    closed: bool = False

    @property
    def full(self) -> bool:
        return self.capacity > 0 and len(self.items) >= self.capacity

    def next_item(self) -> int:
        return {"fifo": self.items[0], "lifo": self.items[-1], "priority": min(self.items)}[self.order]

    def _with(
        self, items: tuple[int, ...] | None = None, unfinished: int | None = None, closed: bool | None = None
    ) -> Queue:
        return Queue(
            self.order,
            self.capacity,
            self.items if items is None else items,
            self.unfinished if unfinished is None else unfinished,
            self.closed if closed is None else closed,
        )

    def after(self, call: Call) -> Iterator[tuple[str, Queue]]:
        """What the call may return now, and what the queue is then. Nothing: it has to wait."""
        name = call.words[0]
        if name == "put":
            if self.closed or (self.full and call.limited):
                yield "no", self
            elif not self.full:
                yield "yes", self._with((*self.items, int(call.words[1])), self.unfinished + 1)
        elif name == "get":
            if self.items:
                at = self.items.index(self.next_item()) if self.order != "lifo" else len(self.items) - 1
                yield str(self.items[at]), self._with((*self.items[:at], *self.items[at + 1 :]))
            elif self.closed or call.limited:
                yield "nothing", self
        elif name == "size":
            yield str(len(self.items)), self
        elif name == "close":
            yield "done", self._with(closed=True)
        elif name == "task_done":
            yield ("done", self._with(unfinished=self.unfinished - 1)) if self.unfinished else (
                TOO_OFTEN,
                self,
            )
        elif name == "join":
            if not self.unfinished:
                yield "done", self
        else:
            raise ValueError(call.order)


def final_states(history: list[str], queue: Queue, pending: bool = True) -> set[Queue]:
    """What the queue may be after the history: one state for each order of the calls that explains it; none
    if none does.

    pending: a call that has not returned may have taken effect already.
    """
    every = calls(history)
    seen: set[tuple[frozenset[int], Queue]] = set()
    found: set[Queue] = set()

    def search(done: frozenset[int], state: Queue) -> None:
        if (done, state) in seen:
            return
        seen.add((done, state))
        left = [at for at in range(len(every)) if at not in done]
        first_end = min((every[at].end for at in left), default=float("inf"))
        if first_end == float("inf"):
            found.add(state)
        for at in left:
            call = every[at]
            if call.begin > first_end or (call.result is None and not pending):
                continue  # another had returned before this one began
            for result, after in state.after(call):
                if call.result in (None, result):
                    search(done | {at}, after)

    search(frozenset(), queue)
    return found


def shortest_unexplained(history: list[str], queue: Queue) -> list[str]:
    """The shortest beginning of the history that no order of its calls explains; [] if one explains all of
    it.
    """
    if final_states(history, queue):
        return []
    return next(
        history[:length] for length in range(1, len(history) + 1) if not final_states(history[:length], queue)
    )


def stuck(history: list[str], queue: Queue) -> list[Call]:
    """At the end of all things: the calls that wait though they need not, whatever the order of the others
    was.
    """
    waiting = [call for call in calls(history) if call.result is None]
    needless = [
        [call for call in waiting if any(True for _ in state.after(call))]
        for state in final_states(history, queue, pending=False)
    ]
    return min(needless, key=len, default=waiting)
