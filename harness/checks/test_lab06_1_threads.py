"""What is true of lab06's threads, races, locks, semaphores, events and conditions."""

from __future__ import annotations

import re
import signal

from labkit import Lab, Run, check, expect, kernel, step
from labkit.threads import shares_under_locks


COUNTER = {
    "lost_updates": "Additions were lost: between the reading and the writing back another thread did the "
    "same.",
    "not_counted": "Nothing was added at all.",
    "not_one_by_one": "The right number was printed, and not counted so: each thread has to add 1 to the one "
    "counter, and no other thread meanwhile, 50 000 times.",
}
LOCKS = {
    "not_held": "A transfer has to hold the mutexes of both accounts.",
    "not_moved": "The mutexes were locked, and no coin was moved under them.",
    "coins_lost": "The sum changed: two threads moved coins at the same moment.",
    "does_not_end": "Each thread holds one lock and waits for the other's.",
}
BROKEN = {
    "not_broken": "The program no longer shows the mistake that it was made to show.",
}


@check(points=0, read="what-threads-share")
def test_threads_share_the_memory_and_have_their_own_stacks(lab: Lab) -> None:
    """One process, one global for all; a thread number, a stack and an errno for each."""
    program = lab.start("thread_hello", "-n", "4", stdin=True)
    program.expect_match(r"^Enter ends them all$")
    expect(program.threads() == 5, "it has five threads")
    line = r"^hello-(\d): process (\d+), thread (\d+), global at (\w+), local at (\w+), errno at (\w+)$"
    columns = list(zip(*re.findall(line, program.stdout.text, re.MULTILINE)))
    expect(len(columns) == 6 and sorted(columns[0]) == list("1234"), "each says one line")
    distinct = [len(set(column)) for column in columns]
    expect(
        distinct == [4, 1, 4, 1, 4, 4],
        "they share the process and the global, and nothing else",
        otherwise=str(distinct),
    )
    names = kernel.thread_ids(program.pid).values()
    expect({"hello-1", "hello-2", "hello-3", "hello-4"} <= set(names), "the kernel knows them by name")
    program.type("\n")
    program.expect_exit(0)


@check(points=0, read="the-end-of-a-thread")
def test_a_thread_is_joined_or_detached_or_it_ends_everything(lab: Lab) -> None:
    """A join with a time limit may return early; a detached thread cannot be joined; if a thread is neither
    joined nor detached, the program ends."""
    said = "join, no limit: ended\ndetached: joinable() is false\ndetached: it has told its end itself\n"
    late = lab.start("join_or_detach", "-d", "3600", "-w", "0.1")
    late.expect_match(r"\Ajoin, at most 0.1 s: still running\n\Z")
    late.expect_at_rest()
    expect(late.threads() == 2, "it waits on, without limit")
    early = lab.run("join_or_detach", "-d", "0", "-w", "60").expect_status(0)
    early.expect_output(f"join, at most 60 s: ended\n{said}".encode())
    lab.run("join_or_detach", "forget").expect_status(-signal.SIGABRT).expect_match(
        "terminate called", stream="stderr"
    )


def obtained(run: Run) -> int:
    run.expect_status(0)
    run.expect_match(r"^[\d.e+-]+ ns per increment$")
    return int(run.expect_match(r"^Obtained value: (\d+)$")[1])


@check(points=0, read="a-race", causes=BROKEN)
def test_race_is_one(lab: Lab) -> None:
    """The sanitizer's report does not depend on luck, as the number does: at least one of twenty runs is
    wrong."""
    run = lab.run("race", variant="tsan", reported=True)
    expect(
        run.report and run.report.cause == "data_race",
        "ThreadSanitizer reports a data race",
        cause="not_broken",
    )
    with step("race is run until an addition is lost, twenty times at most", quiet=True) as current:
        values: list[int] = []
        while not values or (values[-1] == 500_000 and len(values) < 20):
            run = lab.run("race", variant="")
            run.expect_match(r"^Expected value: 500000$")
            values.append(obtained(run))
        expect(values[-1] < 500_000, "one run has lost additions", cause="not_broken")
        current.outcome = f"run {len(values)}: {values[-1]}"


@check(points=2, read="two-cures", causes=COUNTER)
def test_race_lock_loses_nothing(lab: Lab) -> None:
    """One thread at a time reads, adds and writes: every run is right, and the sanitizer finds nothing."""
    sanitized = lab.run("race_lock", variant="tsan")
    value = obtained(sanitized)
    expect(
        value == 500_000,
        "500000 additions are 500000",
        otherwise=str(value),
        cause="lost_updates" if value else "not_counted",
    )
    held = max(sanitized.locks, sanitized.changes)
    expect(held >= 500_000, "a lock was taken for each", otherwise=f"{held} times", cause="not_one_by_one")
    shares_under_locks(sanitized, lab, cause="not_one_by_one")
    for run in range(1, 4):
        value = obtained(lab.run("race_lock", "-n", "20", faults={}).expect_threads(20, cause="not_counted"))
        expect(value == 1_000_000, f"run {run}: a million", otherwise=str(value), cause="lost_updates")


@check(points=2, read="two-cures", causes=COUNTER)
def test_race_atomic_loses_nothing(lab: Lab) -> None:
    """One step of the processor reads, adds and writes. Two steps, each of them atomic, are as wrong as
    race."""
    # Slow enough to interrupt each other on one CPU.
    sanitized = lab.run("race_atomic", "-n", "100", variant="tsan")
    value = obtained(sanitized)
    expect(value > 0, "something is added", cause="not_counted")
    expect(value == 5_000_000, "100 slow threads lose nothing", otherwise=str(value), cause="lost_updates")
    changes = sanitized.changes
    what = "each addition was one step of an atomic variable"
    expect(changes >= 5_000_000, what, otherwise=f"{changes} were", cause="not_one_by_one")
    value = obtained(lab.run("race_atomic", "-n", "500", faults={}).expect_threads(500, cause="not_counted"))
    expect(value == 25_000_000, "500 threads lose nothing", otherwise=str(value), cause="lost_updates")


@check(points=0, read="locks")
def test_a_recursive_lock_is_free_at_the_last_unlock(lab: Lab) -> None:
    """Its owner may lock it again; for other threads it is free after as many unlocks."""
    lab.run("lock_recursive").expect_status(0).expect_output(
        b"a plain mutex, locked twice: Resource deadlock avoided\n"
        b"and unlocked twice: Operation not permitted\n"
        b"inside move_apples: another thread does not get the lock\n"
        b"after move_apples: another thread does not get the lock\n"
        b"after swap_apples_for_pears: another thread gets the lock\n"
        b"7 apples, 13 pears\n"
    )


@check(points=3, read="locks", causes=LOCKS)
def test_transfers_in_both_directions_do_not_deadlock(lab: Lab) -> None:
    """The sanitizer sees two orders of the locks without the bad luck that makes two threads wait for each
    other."""
    for variant in ("tsan", None):
        run = lab.run("lock_order", variant=variant, faults=None if variant else {})
        run.expect_status(0).expect_output(b"ann 100, bob 100\n", cause="coins_lost")
        run.expect_threads(2, cause="not_held")
        told = f"{run.locks} times a mutex was taken"
        what = "200000 transfers held two mutexes each"
        expect(run.locks >= 2 * 200_000, what, cause="not_held", otherwise=told)
    shares_under_locks(run, lab, cause="not_moved")


@check(points=0, read="a-race", causes=BROKEN)
def test_a_race_is_reported_only_in_the_order_that_shows_it(lab: Lab) -> None:
    """A lock between two racing writes may put them in order by luck: no report does not prove that there is
    no race."""
    lucky = lab.run("race_lucky", "ann", "bob", variant="tsan").expect_status(0)
    lucky.expect_output(b"value 2\n", cause="not_broken")
    run = lab.run("race_lucky", "bob", "ann", variant="tsan", reported=True)
    found = run.report and run.report.cause == "data_race"
    expect(found, "ThreadSanitizer reports a data race", cause="not_broken")


@check(points=0, read="two-cures", causes=BROKEN)
def test_a_relaxed_flag_orders_nothing_else(lab: Lab) -> None:
    """A release store and an acquire load put the message before its reading; relaxed ones do not."""
    run = lab.run("publish", "release", variant="tsan").expect_status(0)
    run.expect_output(b"the whole message\n")
    run = lab.run("publish", "relaxed", variant="tsan", reported=True)
    found = run.report and run.report.cause == "data_race"
    expect(found, "ThreadSanitizer reports a data race", cause="not_broken")


@check(points=0, read="the-end-of-a-thread", causes=BROKEN)
def test_fork_copies_one_thread_and_every_lock(lab: Lab) -> None:
    """The child has one thread, and a locked mutex, but not the thread that locked it."""
    lab.run("fork_with_threads", variant="").expect_status(0).expect_output(
        b"parent: 2 threads, the mutex is locked\nchild: 1 thread, the mutex is locked\n"
        b"parent: 1 thread, the mutex is free\n",
        cause="not_broken",
    )


@check(points=0, read="semaphores-and-events")
def test_a_pool_of_five_has_never_six_users(lab: Lab) -> None:
    """The semaphore counts: the sixth thread waits until one of the five is given back."""
    run = lab.run("semaphore_pool", "-n", "40", "-d", "0.02").expect_status(0)
    used: dict[str, str] = {}
    users = set()
    with step("at no time two threads use one thing, or more than five are used", quiet=True):
        for name, does, thing, count in re.findall(
            r"^(Thread-\d+): (takes|gives) (\d), (\d) in use$", run.stdout.decode(), re.M
        ):
            if does == "takes":
                expect(thing not in used, f"{name} takes {thing}, which is free")
                used[thing] = name
                users.add(name)
            else:
                expect(used.pop(thing, "") == name, f"{name} gives {thing} back")
            expect(len(used) == int(count) <= 5, f"{len(used)} are used")
    expect(len(users) == 40 and not used, "all forty have had one, and given it back")


@check(points=0, read="semaphores-and-events")
def test_an_event_releases_all_threads(lab: Lab) -> None:
    """No thread goes on before the event is set, and all go on afterwards. A thread that comes later does not
    wait."""
    run = lab.run("event", "-n", "5", "-w", "0.1").expect_status(0)
    lines = run.stdout.decode().splitlines()
    expect(
        lines[:2] == ["waited 0.1 s: not set", "start!"],
        "no runner goes before the start",
        otherwise=str(lines[:3]),
    )
    expect(
        sorted(lines[2:7]) == [f"runner {number}: off" for number in range(1, 6)],
        "all five go",
        otherwise=str(lines[2:7]),
    )
    expect(
        lines[7:] == ["waited again: set", "runner 6: off"],
        "a late one goes at once",
        otherwise=str(lines[7:]),
    )


@check(points=0, read="conditions")
def test_each_cake_is_eaten_once(lab: Lab) -> None:
    """One baker and several eaters: one eater gets each cake, and all eaters end."""
    for variant in ("tsan", None):
        run = lab.run("condition", "-n", "5", variant=variant).expect_status(0)
        eaten = dict(re.findall(r"^eater (\d): (\d+)$", run.stdout.decode(), re.MULTILINE))
        expect(len(eaten) == 5, "five eaters have ended")
        expect(sum(map(int, eaten.values())) == 10, "they have eaten ten cakes", otherwise=str(eaten))
