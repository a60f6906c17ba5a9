"""What is true of lab06 under every schedule of its threads, found by trying them all (exploring/)."""

from __future__ import annotations

from exploring.checking import CAUSES, every_schedule, target
from exploring.queues import SCENARIOS
from labkit import Lab, check

QUEUE = CAUSES | {
    "wrong_result": "The call did not do what it was asked for, or said so.",
    "wrong_order": "The items came in another order than this queue has.",
    "woken_for_nothing": "A call that was woken did not look again: another thread was faster, or it was woken for no reason.",
    "lost_wakeup": "A thread sleeps on though what it waits for has come: nobody told it, or told another, or told it too early.",
    "not_all_woken": "The close concerns everybody who waits, and some of them sleep on.",
    "no_limit": "The capacity was not kept.",
    "closed_but_open": "A closed queue takes nothing, and gives what is left in it.",
    "done_too_early": "join returned before every item was reported as done.",
    "no_time_limit": "The time was over, and the call went on waiting, or it gave up though it had no time limit.",
    "items_lost": "An item was got twice, or it was never put.",
}


def explore(lab: Lab, *names: str) -> None:
    """Tries every schedule of these scenarios with at most two preemptions."""
    for scenario in SCENARIOS:
        if scenario.name in names:
            every_schedule(
                lab,
                scenario.name,
                target(lab, "queue_scenario", scenario.arguments, together=True),
                scenario.judge,
            )


@check(points=6, read="schedules", causes=QUEUE)
def test_every_schedule_gives_each_item_to_one_thread(lab: Lab) -> None:
    """Whoever runs when, whoever is woken: each item is got once, nobody sleeps while there is one for him, or room."""
    explore(lab, "full_and_empty", "one_item_two_gets", "two_at_once", "one_room_two_puts")


@check(points=4, read="schedules", causes=QUEUE)
def test_every_schedule_ends_the_waiting_at_the_close(lab: Lab) -> None:
    """The close may come at any moment: before the waiting, within it, between the waking and the taking."""
    explore(lab, "closed_while_they_get", "closed_while_they_put", "closed_with_an_item")


@check(points=3, read="schedules", causes=QUEUE)
def test_every_schedule_keeps_the_time_limits(lab: Lab) -> None:
    """The time may be over at any moment, also when the item has just come: then it is somebody else's."""
    explore(lab, "in_time_or_not", "timed_and_untimed")


@check(points=3, read="schedules", causes=QUEUE)
def test_every_schedule_ends_join_with_the_last_work(lab: Lab) -> None:
    """join waits for the work on every item, and returns however the work ends."""
    explore(lab, "done", "two_join")


@check(points=2, read="schedules", causes=QUEUE)
def test_every_schedule_keeps_the_orders(lab: Lab) -> None:
    """Last in, first out; the least first: also when puts and gets come at the same time."""
    explore(lab, "last_first", "least_first")
