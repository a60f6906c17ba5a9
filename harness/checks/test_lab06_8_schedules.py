"""What is true of lab06 under every schedule of its threads, found by trying them all (exploring/)."""

from __future__ import annotations

import re
from functools import partial

from exploring import registers, services
from exploring.checking import CAUSES, ended_well, every_schedule, target
from exploring.engine import Run
from exploring.queues import SCENARIOS, Scenario
from exploring.search import Finding
from labkit import Lab, check, show

QUEUE = CAUSES | {
    "wrong_result": "The call did something else than it should, or returned something else.",
    "wrong_order": "The items came in another order than this queue has.",
    "woken_for_nothing": "A call was woken and did not look again. Another thread may have been faster, or "
    "the wake-up had no reason.",
    "lost_wakeup": "A thread goes on sleeping although its condition is true: it was not notified, another "
    "thread was notified, or it was notified before it slept.",
    "not_all_woken": "close must wake all waiting threads, and some of them go on sleeping.",
    "no_limit": "The capacity was not kept.",
    "closed_but_open": "A closed queue takes nothing, and gives what is left in it.",
    "done_too_early": "join returned before every item was reported as done.",
    "no_time_limit": "The time was over, and the call went on waiting. Or it gave up although it had no "
    "time limit.",
    "items_lost": "An item was got twice, or was never put.",
}
READERS = CAUSES | {
    "characters_lost": "Not every character was printed exactly once.",
    "left_early": "A reader was woken, found no character, and ended: it must look again, in a loop.",
    "all_asleep": "Every thread sleeps: the one that could go on was not notified, or was notified before "
    "it slept.",
}
COUNTERS = CAUSES | {
    "lost_updates": "Additions were lost: between the reading and the writing back another thread did the "
    "same.",
}
REGISTER = CAUSES | {
    "not_alone": "A writer held the lock together with somebody else.",
    "wrong_result": "The calls do not return what they should.",
}
SERVERS = CAUSES | {
    "no_answer": "A client waited for a reply, and no thread was left that would send it.",
    "wrong_client": "A client got the reply to another one's request.",
    "closed_too_early": "The connection was closed before the client had its reply.",
    "two_winners": "Two clients swapped the same value: one came between the other's look and change.",
    "wrong_log": "The log must name each client once when it comes, and once when it has gone.",
    "descriptor_leak": "The clients have gone, and the server has not closed each of their connections.",
    "thread_leak": "The clients have gone, and a thread still waits for one of them.",
    "not_told": "At the end each client has its replies, then Goodbye, then the end of the stream.",
    "reply_lost": "What a client had sent before the end of the server was not answered.",
    "went_on": "All threads have ended, and main was not told, or was told before it could see it.",
}
GIVEN = CAUSES | SERVERS | {"wrong_result": "The program does not do what it shows."}


def explore(lab: Lab, *names: str) -> None:
    """Tries every schedule of these scenarios with at most two preemptions."""
    for scenario in (scenario for scenario in SCENARIOS if scenario.name in names):
        explored = target(lab, "queue_scenario", scenario.arguments, together=True)
        every_schedule(lab, scenario.name, explored, scenario.judge)


# --- the queue


@check(points=3, read="schedules", causes=QUEUE, slow=True)
def test_every_schedule_gives_each_item_to_one_thread(lab: Lab) -> None:
    """The threads may run in any order, and notify may wake any waiter. Each item is got once, and no thread
    sleeps while there is an item for it, or room.
    """
    explore(
        lab, "full_and_empty", "one_item_two_gets", "two_at_once", "one_room_two_puts", "two_wait_for_room"
    )


@check(points=2, read="schedules", causes=QUEUE, slow=True)
def test_every_schedule_ends_the_waiting_at_the_close(lab: Lab) -> None:
    """The close may come at any moment: before a thread waits, while it waits, or between its waking and its
    taking of an item."""
    explore(lab, "closed_while_they_get", "closed_while_they_put", "closed_with_an_item")


@check(points=1, read="schedules", causes=QUEUE, slow=True)
def test_every_schedule_keeps_the_time_limits(lab: Lab) -> None:
    """The time may be over at any moment, also when an item has just come: then another thread gets the
    item."""
    explore(lab, "in_time_or_not", "timed_and_untimed", "one_in_time_one_for_ever")


@check(points=2, read="schedules", causes=QUEUE, slow=True)
def test_every_schedule_ends_join_with_the_last_work(lab: Lab) -> None:
    """join waits for the work on every item, and returns however the work ends."""
    explore(lab, "done", "two_join")


@check(points=1, read="schedules", causes=QUEUE, slow=True)
def test_every_schedule_keeps_the_orders(lab: Lab) -> None:
    """Last in, first out; the least first: also when puts and gets come at the same time."""
    explore(lab, "last_first", "least_first")


def race_or_wrong(scenario: Scenario, run: Run) -> Finding | None:
    """What ThreadSanitizer says of a run, or else its history."""
    finding = ended_well(run)
    return finding if finding and finding.cause == "data_race" else scenario.judge(run)


@check(points=2, read="schedules", causes=QUEUE, slow=True)
def test_no_schedule_of_the_queue_has_a_data_race(lab: Lab) -> None:
    """A lock that one thread takes by chance between two others' steps hides their race from the sanitizer:
    on other schedules it shows."""
    for scenario in SCENARIOS:
        explored = target(lab, "queue_scenario", scenario.arguments, variant="tsan", together=True)
        every_schedule(lab, scenario.name, explored, partial(race_or_wrong, scenario), bound=-1, seeds=12)


# --- producer and consumers


def readers_end_well(wanted: str, readers: int, run: Run) -> Finding | None:
    """Every character is printed once, and every reader says that it is done."""
    text = run.output.decode(errors="replace")
    finding = ended_well(run)
    if finding is not None:
        return finding
    said = re.findall(r"^(?:Input: )*Thread-\d+: (?:(I'm done!)|(.))$", text, re.MULTILINE)
    got = "".join(character for _, character in said)
    if sorted(got) != sorted(wanted):
        early = len(got) < len(wanted)
        return Finding(
            "left_early" if early else "characters_lost",
            f"printed: {show(got.encode())}",
            tuple(text.splitlines()),
        )
    if sum(bool(done) for done, _ in said) != readers:
        return Finding("characters_lost", "not every reader says that it is done", tuple(text.splitlines()))
    return None


@check(points=2, read="schedules", causes=READERS, slow=True)
def test_every_schedule_prints_each_character_once(lab: Lab) -> None:
    """Two readers, two characters and the end. Either reader may be woken first, and either may be faster."""
    judge = partial(readers_end_well, "ab", 2)
    for name in ("multiprint_polling", "multiprint_condition", "multiprint_queue"):
        explored = target(lab, name, ["-n", "2", "-d", "0"], b"ab\n")
        every_schedule(lab, name, explored, judge, bound=1, most=3000, seeds=100)
        sanitized = target(lab, name, ["-n", "2", "-d", "0"], b"ab\n", variant="tsan")
        every_schedule(lab, f"{name} with ThreadSanitizer", sanitized, judge, bound=-1, seeds=12)


# --- the race and its cures, two locks


def counts_to(number: int, run: Run) -> Finding | None:
    """The counter has to have this value at the end."""
    found = re.search(rb"^Obtained value: (\d+)$", run.output, re.MULTILINE)
    value = int(found[1]) if found else None
    return ended_well(run) or (
        Finding("lost_updates", f"counted {value} of {number}") if value != number else None
    )


def coins_stay(run: Run) -> Finding | None:
    lost = run.output != b"ann 100, bob 100\n"
    return ended_well(run) or (Finding("lost_updates", f"printed {show(run.output)}") if lost else None)


@check(points=1, read="schedules", causes=COUNTERS, slow=True)
def test_no_schedule_loses_an_addition_or_stops_for_ever(lab: Lab) -> None:
    """Each lock, and in the sanitized program each access to an atomic variable, is a place where others may
    come in.
    """
    for name in ("race_lock", "race_atomic"):
        explored = target(lab, name, ["-n", "2"], variant="tsan", steps=2_000_000)
        every_schedule(lab, name, explored, partial(counts_to, 100_000), bound=-1, seeds=8)
    for variant in (None, "tsan"):
        explored = target(lab, "lock_order", [], variant=variant, steps=5_000_000)
        every_schedule(lab, f"lock_order {variant or ''}".strip(), explored, coins_stay, bound=-1, seeds=6)


# --- readers and a writer


@check(points=1, read="schedules", causes=REGISTER, slow=True)
def test_every_schedule_leaves_a_writer_alone(lab: Lab) -> None:
    """Readers and writers come, wait and go in every order, and nobody sleeps for ever."""
    for name, scenario in registers.SCENARIOS.items():
        explored = target(lab, "register_rw", scenario, together=True)
        every_schedule(lab, name, explored, registers.wrong, bound=1, most=1000, seeds=100)
        sanitized = target(lab, "register_rw", scenario, variant="tsan", together=True)
        every_schedule(lab, f"{name} with ThreadSanitizer", sanitized, registers.wrong, bound=-1, seeds=6)


# --- servers: their clients are threads of the explorer


def serve(lab: Lab, service: services.Service, seeds: int, sanitized: int = 0) -> None:
    """Tries schedules of a server and its clients, by chance if they are many; a few with ThreadSanitizer."""
    explored = target(lab, service.program, service.arguments, clients=service.scripts)
    if service.bound >= 0:
        every_schedule(lab, service.name, explored, service.judge, bound=service.bound)
        return
    for variant, count in ((None, seeds), ("tsan", sanitized)):
        if count == 0:
            continue
        explored = target(lab, service.program, service.arguments, variant=variant, clients=service.scripts)
        name = f"{service.name} with ThreadSanitizer" if variant else service.name
        every_schedule(lab, name, explored, service.judge, bound=-1, seeds=count)


@check(points=1, read="schedules", causes=SERVERS, slow=True)
def test_every_schedule_answers_each_client(lab: Lab) -> None:
    """The next client may come before the last one's thread has begun, and both may write at once."""
    for service in services.SERVERS:
        serve(lab, service, seeds=400, sanitized=6)


@check(points=1, read="schedules", causes=SERVERS, slow=True)
def test_every_schedule_of_a_pool_answers_each_client(lab: Lab) -> None:
    """Three clients and two threads; a loop that is told of each reply, and must find it there."""
    for service in services.POOLS:
        seeds = 1500 if service.program == "upper_server_slow_pool" else 500  # its loop fails more rarely
        serve(lab, service, seeds=seeds, sanitized=6)


@check(points=1, read="schedules", causes=SERVERS, slow=True)
def test_every_schedule_says_goodbye(lab: Lab) -> None:
    """SIGTERM may come at any moment: while a client connects, while it is served, while it goes."""
    serve(lab, services.GOODBYE_TO_ONE, seeds=0)
    for variant, seeds in ((None, 400), ("tsan", 6)):
        explored = target(
            lab, "upper_server_graceful", (), variant=variant, clients="|".join(services.GOODBYE)
        )
        name = "upper_server_graceful" + (" with ThreadSanitizer" if variant else "")
        every_schedule(lab, name, explored, services.says_goodbye, bound=-1, seeds=seeds)


# --- semaphore, event, condition: given programs


def cakes_are_eaten(run: Run) -> Finding | None:
    eaten = sum(map(int, re.findall(rb"^eater \d: (\d+)$", run.output, re.MULTILINE)))
    return ended_well(run) or (
        Finding("wrong_result", f"{eaten} cakes are eaten of ten") if eaten != 10 else None
    )


def all_run_after_the_start(run: Run) -> Finding | None:
    lines = run.output.decode(errors="replace").splitlines()
    right = lines[:2] == ["waited 0 s: not set", "start!"] and sorted(lines[2:4]) == [
        "runner 1: off",
        "runner 2: off",
    ]
    right = right and lines[4:] == ["waited again: set", "runner 3: off"]
    return ended_well(run) or (
        None if right else Finding("wrong_result", "somebody runs before the start", tuple(lines))
    )


def at_most_five(run: Run) -> Finding | None:
    """No thing is used twice, and never more than five are."""
    used: set[bytes] = set()
    for does, thing in re.findall(rb"^Thread-\d+: (takes|gives) (\d)", run.output, re.MULTILINE):
        if (does == b"takes") == (thing in used):
            return Finding("wrong_result", f"a thread {does.decode()} {thing.decode()}, which is not so")
        used ^= {thing}
    return ended_well(run) or (Finding("wrong_result", "not all are given back") if used else None)


@check(points=0, read="schedules", causes=GIVEN, slow=True)
def test_every_schedule_of_the_given_programs_is_right(lab: Lab) -> None:
    """Cakes, runners and a pool of five: what they show does not depend on luck."""
    every_schedule(
        lab, "condition", target(lab, "condition", ["-n", "2"]), cakes_are_eaten, bound=1, seeds=100
    )
    every_schedule(
        lab,
        "event",
        target(lab, "event", ["-n", "2", "-w", "0"]),
        all_run_after_the_start,
        bound=1,
        seeds=600,
    )
    pool = target(lab, "semaphore_pool", ["-n", "6", "-d", "0.1"], together=True)
    every_schedule(lab, "semaphore_pool", pool, at_most_five, bound=0, seeds=100)
    for service in services.GIVEN:
        serve(lab, service, seeds=100)
