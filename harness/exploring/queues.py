"""Scenarios for a blocking queue, and what is wrong with a run of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from . import histories
from .engine import Run
from .search import Finding


@dataclass(frozen=True)
class Scenario:
    """What several threads do with one queue at the same time, as arguments for queue_scenario."""

    name: str
    threads: tuple[str, ...]  # "put 1; put 2"
    order: str = "fifo"
    capacity: int = 0

    @property
    def arguments(self) -> list[str]:
        return ["-c", str(self.capacity), self.order, *self.threads]

    @property
    def queue(self) -> histories.Queue:
        return histories.Queue(self.order, self.capacity)

    def judge(self, run: Run) -> Finding | None:
        """What is wrong with a run of this scenario: by its end, or by a history that no order of its calls
        explains.
        """
        history = run.output.decode(errors="replace").splitlines()
        try:
            wrong = histories.shortest_unexplained(history, self.queue)
        except ValueError:
            return Finding("wrong_result", "it prints something else than the calls")
        if wrong:
            return Finding(
                self._cause(wrong), f"no order of the calls explains: {wrong[-1][2:]}", tuple(wrong)
            )
        if run.how == "deadlock":
            return self._stuck(run, history)
        if run.how in ("endless", "spins"):
            return Finding("does_not_end", "it goes on and on, and no call returns", tuple(history))
        if run.how == "misuse":
            return Finding("misuse", run.message, tuple(history))
        if run.status != 0:
            last = run.errors.decode(errors="replace").splitlines()[-3:]
            return Finding("crashed", f"it ends with status {run.status}", (*history, *last))
        return None

    def _stuck(self, run: Run, history: list[str]) -> Finding | None:
        waiting = {thread.name: thread for thread in run.threads if thread.wants not in ("over", "nothing")}
        for thread in waiting.values():
            if thread.wants in ("lock", "share"):
                holder = run.threads[thread.owner].name if thread.owner >= 0 else "nobody"
                if holder == thread.name:
                    return Finding(
                        "double_lock", f"{thread.name} waits for a lock that it has itself", tuple(history)
                    )
                return Finding(
                    "deadlock",
                    f"{thread.name} waits for a lock that {holder} has, who waits, too",
                    tuple(history),
                )
        needless = histories.stuck(history, self.queue)
        if not needless:
            return None  # it has to wait
        if any(call.limited for call in needless):
            return Finding(
                "no_time_limit",
                f"the time of {needless[0].thread}'s {needless[0].order} never passes",
                tuple(history),
            )
        closed = any(line.startswith("< ") and line.endswith(" close: done") for line in history)
        names = " and ".join(f"{call.thread}'s {call.order}" for call in needless)
        if closed and any(call.words[0] in ("get", "put") for call in needless):
            return Finding("not_all_woken", f"{names} sleeps on in the closed queue", tuple(history))
        return Finding("lost_wakeup", f"{names} sleeps on, though what it waits for is there", tuple(history))

    def _cause(self, wrong: list[str]) -> str:
        """The likely cause of the return that no order explains, the last line."""
        last = histories.calls(wrong)
        call = next(call for call in last if call.end == len(wrong) - 1)
        name, result = call.words[0], call.result or ""
        closing = any(" close" in line for line in wrong)
        if name == "get" and result == "nothing":
            return "closed_but_open" if closing else "no_time_limit" if call.limited else "woken_for_nothing"
        if name == "get":
            put = [other.words[1] for other in last if other.words[0] == "put"]
            got = [other.result for other in last if other.words[0] == "get"]
            return "items_lost" if got.count(result) > put.count(result) else "wrong_order"
        if name == "put":
            if result == "yes":
                return (
                    "closed_but_open" if any(line.endswith("close: done") for line in wrong) else "no_limit"
                )
            return "no_time_limit" if call.limited and not closing else "woken_for_nothing"
        return {"join": "done_too_early", "task_done": "done_too_early"}.get(name, "wrong_result")


def scenario_of(arguments: Sequence[str]) -> Scenario:
    """The scenario that these arguments of queue_scenario are."""
    words = list(arguments)
    capacity = 0
    if words[:1] == ["-c"] and len(words) > 1:
        capacity, words = int(words[1]), words[2:]
    return Scenario("", tuple(words[1:]), words[0] if words else "fifo", capacity)


# Small, and each for something that goes wrong. Named as in schedules: `full_and_empty:12.1,17.2`.
SCENARIOS = (
    Scenario("full_and_empty", ("put 1; put 2", "get; get"), capacity=1),
    Scenario("one_item_two_gets", ("put 1", "get", "get; put 2")),
    Scenario("two_at_once", ("put 1; put 2", "get", "get")),
    Scenario("one_room_two_puts", ("put 1; put 2", "put 3", "get; get; get"), capacity=1),
    Scenario("two_wait_for_room", ("put 1; put 2; put 3", "put 4", "get; get"), capacity=2),
    Scenario("closed_while_they_get", ("close", "get", "get")),
    Scenario("closed_while_they_put", ("put 1; put 2", "put 3; get", "close"), capacity=1),
    Scenario("closed_with_an_item", ("put 1; close", "get; get")),
    Scenario("in_time_or_not", ("put 1 1; put 2 1", "get 1; get 1"), capacity=1),
    Scenario("timed_and_untimed", ("put 1", "get 1", "get 1; put 2")),
    Scenario("one_in_time_one_for_ever", ("put 1", "get 1", "get")),
    Scenario("done", ("put 1; put 2; join", "get; task_done", "get; task_done")),
    Scenario("two_join", ("put 1; join", "join", "get; task_done; size")),
    Scenario("last_first", ("put 1; put 2; size", "get; get"), order="lifo"),
    Scenario("least_first", ("put 2; put 1", "get; get; size"), order="priority"),
)
