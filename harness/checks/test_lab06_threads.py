"""What is true of lab06: many threads in one process, and how they wait for each other."""

from __future__ import annotations

import re
import signal
from functools import partial

from labkit import Lab, Run, Server, check, expect, kernel, show, step, wait_until
from labkit.counting import count_together
from labkit.instructions import holding
from labkit.program import Program

DATE = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"

COUNTER = {
    "lost_updates": "Additions were lost: between the reading and the writing back another thread did the same.",
    "not_counted": "Nothing was added at all.",
}
LOCKS = {
    "coins_lost": "The sum changed: two threads moved coins at the same moment.",
    "does_not_end": "Each thread holds one lock and waits for the other's.",
}
READERS = {
    "lock_held_while_sleeping": "A reader kept the mutex while it slept: nobody else could take a character meanwhile.",
    "left_early": "A reader that was woken and found nothing took that for the end: look again, in a loop.",
    "not_all_woken": "One thread was woken where all were concerned: the others sleep on.",
    "lost_wakeup": "A thread sleeps though there is something for it to do: nobody told it, or told it before it slept.",
    "characters_lost": "Not every character was printed exactly once.",
    "polls": "It wakes up again and again though nothing has changed: to wait for a condition is to be woken.",
    "done_too_early": "The next line was handed out while a character of the last one was still being printed.",
}
QUEUE = {
    "wrong_result": "The call did not do what it was asked for, or said so.",
    "wrong_order": "The items came in another order than this queue has.",
    "does_not_wait": "A call that had to wait returned.",
    "woken_for_nothing": "A get that was woken found no item, and returned without one instead of waiting on: another "
    "was faster, as may happen at any time.",
    "lost_wakeup": "A thread sleeps on though what it waits for has come.",
    "stuck": "A call does not return though there is nothing that it has to wait for: does it wait for itself?",
    "not_all_woken": "The close concerns everybody who waits, and woke some of them.",
    "no_limit": "The capacity was not kept.",
    "closed_but_open": "A closed queue takes nothing, and gives what is left in it.",
    "done_too_early": "join returned before every item was reported as done.",
    "no_time_limit": "The time was over, and the call went on waiting, or it did not wait at all.",
    "items_lost": "Items were lost, or were got twice.",
}
SERVERS = {
    "thread_leak": "Something of each client's thread is left when it has ended: join it or detach it.",
    "descriptor_leak": "A connection stays open when its client has gone: who owns the descriptor?",
    "one_after_the_other": "A client had to wait for another one: each was to have a thread.",
    "no_thread_unnoticed": "No thread could be started for a client, and that was not its bad luck alone.",
}
FULL = {
    "spins_when_full": "accept fails for want of a descriptor, and fails again at once, for the client still waits: rest before "
    "you ask again.",
    "never_again": "A descriptor is free again, and the client that waited for one is still not accepted.",
}
POOL = {
    "pool_shrinks": "A client's error has cost the pool a thread: it is missing ever after.",
    "pool_grows": "More clients are served at once than the pool has threads.",
    "lock_held_while_serving": "The thread kept the accept lock while it served its client: nobody else can accept.",
}
BROKEN = {
    "not_broken": "The program no longer shows the mistake that it was made to show.",
}
REGISTER = {
    "two_winners": "Two clients made the same swap: it has to be one step for all other threads.",
}


def threaded(server: Server, count: int, cause: str | None = None) -> None:
    """Waits until the server has so many threads beside its first one."""
    wait_until(lambda: server.threads() == count + 1, f"the server has {count} more threads", cause=cause,
               instead=lambda: f"{server.threads() - 1}")  # fmt: skip


# --- threads


@check(points=1, read="what-threads-share")
def test_threads_share_the_memory_and_have_their_own_stacks(lab: Lab) -> None:
    """One process, one global for all; a thread number, a stack and an errno for each."""
    program = lab.start("thread_hello", "-n", "4", stdin=True)
    program.expect_match(r"^Enter ends them all$")
    expect(program.threads() == 5, "it has five threads")
    line = r"^hello-(\d): process (\d+), thread (\d+), global at (\w+), local at (\w+), errno at (\w+)$"
    columns = list(zip(*re.findall(line, program.stdout.text, re.MULTILINE)))
    expect(len(columns) == 6 and sorted(columns[0]) == list("1234"), "each says one line")
    distinct = [len(set(column)) for column in columns]
    expect(distinct == [4, 1, 4, 1, 4, 4], "they share the process and the global, and nothing else", otherwise=str(distinct))
    names = kernel.thread_ids(program.pid).values()
    expect({"hello-1", "hello-2", "hello-3", "hello-4"} <= set(names), "the kernel knows them by name")
    program.type("\n")
    program.expect_exit(0)


@check(points=1, read="the-end-of-a-thread")
def test_a_thread_is_joined_or_detached_or_it_ends_everything(lab: Lab) -> None:
    """A join with a time limit may return early; a detached thread is joined by nobody; to forget both is fatal."""
    said = "join, no limit: ended\ndetached: joinable() is false\ndetached: it has told its end itself\n"
    late = lab.start("join_or_detach", "-d", "3600", "-w", "0.1")
    late.expect_match(r"\Ajoin, at most 0.1 s: still running\n\Z")
    late.expect_at_rest()
    expect(late.threads() == 2, "it waits on, without limit")
    early = lab.run("join_or_detach", "-d", "0", "-w", "60").expect_status(0)
    early.expect_output(f"join, at most 60 s: ended\n{said}".encode())
    lab.run("join_or_detach", "forget").expect_status(-signal.SIGABRT).expect_match("terminate called", stream="stderr")


# --- the race and its cures


def obtained(run: Run) -> int:
    run.expect_status(0)
    run.expect_match(r"^[\d.e+-]+ ns per increment$")
    return int(run.expect_match(r"^Obtained value: (\d+)$")[1])


@check(points=1, read="a-race", causes=BROKEN)
def test_race_is_one(lab: Lab) -> None:
    """The sanitizer's report does not depend on luck, as the number does: of twenty runs one at least is wrong."""
    run = lab.run("race", variant="tsan", reported=True)
    expect(run.report and run.report.cause == "data_race", "ThreadSanitizer reports a data race", cause="not_broken")
    with step("race is run until an addition is lost, twenty times at most", quiet=True) as current:
        values = []
        while not values or (values[-1] == 500_000 and len(values) < 20):
            run = lab.run("race", variant="")
            run.expect_match(r"^Expected value: 500000$")
            values.append(obtained(run))
        expect(values[-1] < 500_000, "one run has lost additions", cause="not_broken")
        current.outcome = f"run {len(values)}: {values[-1]}"


@check(points=4, read="two-cures", causes=COUNTER)
def test_race_lock_loses_nothing(lab: Lab) -> None:
    """One thread at a time reads, adds and writes: every run is right, and the sanitizer finds nothing."""
    value = obtained(lab.run("race_lock", variant="tsan"))
    expect(value == 500_000, "500000 additions are 500000", otherwise=str(value), cause="lost_updates" if value else "not_counted")
    for run in range(1, 4):
        value = obtained(lab.run("race_lock", "-n", "20"))
        expect(value == 1_000_000, f"run {run}: a million", otherwise=str(value), cause="lost_updates")


@check(points=4, read="two-cures", causes=COUNTER)
def test_race_atomic_loses_nothing(lab: Lab) -> None:
    """One step of the processor reads, adds and writes. Two steps, each of them atomic, are as wrong as race."""
    value = obtained(lab.run("race_atomic", "-n", "100", variant="tsan"))  # slow enough to interrupt each other on one CPU
    expect(value > 0, "something is added", cause="not_counted")
    expect(value == 5_000_000, "100 slow threads lose nothing", otherwise=str(value), cause="lost_updates")
    value = obtained(lab.run("race_atomic", "-n", "500"))
    expect(value == 25_000_000, "500 threads lose nothing", otherwise=str(value), cause="lost_updates")


@check(points=1, read="locks")
def test_a_recursive_lock_is_free_at_the_last_unlock(lab: Lab) -> None:
    """Its owner may lock it again; to anybody else it is free when it has been unlocked as often."""
    lab.run("lock_recursive").expect_status(0).expect_output(
        b"a plain mutex, locked twice: Resource deadlock avoided\n"
        b"inside move_apples: another thread does not get the lock\n"
        b"after move_apples: another thread does not get the lock\n"
        b"after swap_apples_for_pears: another thread gets the lock\n"
        b"7 apples, 13 pears\n"
    )


@check(points=3, read="locks", causes=LOCKS)
def test_two_locks_in_both_orders_block_nobody(lab: Lab) -> None:
    """The sanitizer sees two orders without the bad luck that makes two threads wait for each other."""
    for variant in ("tsan", None):
        run = lab.run("lock_order", variant=variant)
        run.expect_status(0).expect_output(b"ann 100, bob 100\n", cause="coins_lost")


# --- semaphore, event, condition


@check(points=1, read="semaphores-and-events")
def test_a_pool_of_five_has_never_six_users(lab: Lab) -> None:
    """The semaphore counts: who comes sixth waits until one of the five is given back."""
    run = lab.run("semaphore_pool", "-n", "40", "-d", "0.02").expect_status(0)
    used: dict[str, str] = {}
    users = set()
    with step("at no time two threads use one thing, or more than five are used", quiet=True):
        for name, does, thing, count in re.findall(r"^(Thread-\d+): (takes|gives) (\d), (\d) in use$", run.stdout.decode(), re.M):
            if does == "takes":
                expect(thing not in used, f"{name} takes {thing}, which is free")
                used[thing] = name
                users.add(name)
            else:
                expect(used.pop(thing, "") == name, f"{name} gives {thing} back")
            expect(len(used) == int(count) <= 5, f"{len(used)} are used")
    expect(len(users) == 40 and not used, "all forty have had one, and given it back")


@check(points=1, read="semaphores-and-events")
def test_an_event_lets_everybody_go(lab: Lab) -> None:
    """Nobody goes before it is set, everybody after; who comes late does not wait at all."""
    run = lab.run("event", "-n", "5", "-w", "0.1").expect_status(0)
    lines = run.stdout.decode().splitlines()
    expect(lines[:2] == ["waited 0.1 s: not set", "start!"], "nobody goes before the start", otherwise=str(lines[:3]))
    expect(sorted(lines[2:7]) == [f"runner {number}: off" for number in range(1, 6)], "all five go", otherwise=str(lines[2:7]))
    expect(lines[7:] == ["waited again: set", "runner 6: off"], "who comes late goes at once", otherwise=str(lines[7:]))


@check(points=1, read="conditions")
def test_each_cake_is_eaten_once(lab: Lab) -> None:
    """One waker, several sleepers: each cake is one eater's, and all eaters go home."""
    for variant in ("tsan", None):
        run = lab.run("condition", "-n", "5", variant=variant).expect_status(0)
        eaten = dict(re.findall(r"^eater (\d): (\d+)$", run.stdout.decode(), re.MULTILINE))
        expect(len(eaten) == 5, "five eaters have ended")
        expect(sum(map(int, eaten.values())) == 10, "they have eaten ten cakes", otherwise=str(eaten))


# --- the queue


class Driver:
    """queue_driver, and what its threads have been told to do."""

    def __init__(self, lab: Lab, kind: str, capacity: int = 0, variant: str | None = None) -> None:
        self.program = lab.start("queue_driver", "-c", str(capacity), kind, stdin=True, variant=variant)

    def _count(self, line: str) -> int:
        return self.program.stdout.text.splitlines().count(line)

    def begin(self, thread: str, order: str) -> None:
        """Tells a thread to do something, and waits until it does."""
        line = f"> {thread} {order}"
        before = self._count(line)
        self.program.type(f"{thread} {order}\n")
        with step(f"{thread} begins", quiet=True):
            wait_until(lambda: self._count(line) > before, line)

    def result(self, thread: str, order: str) -> str | None:
        """What the thread's call of this order, the last one, has returned; None while it has not."""
        found = re.findall(rf"^< {thread} {re.escape(order)}: (.*)$", self.program.stdout.text, re.MULTILINE)
        return found[-1] if len(found) == self._count(f"> {thread} {order}") else None

    def ends(self, thread: str, order: str, wanted: str, cause: str) -> None:
        """Waits until the order that the thread has begun is carried out with this result."""
        wait_until(lambda: self.result(thread, order) is not None, f"{thread}'s {order} returns", cause=cause,
                   instead=lambda: "it still waits")  # fmt: skip
        result = self.result(thread, order)
        cause = "wrong_result" if cause in ("stuck", "lost_wakeup") else cause
        expect(result == wanted, f"it returned: {wanted}", cause=cause, otherwise=f"it returned: {result}")

    def does(self, thread: str, order: str, wanted: str, cause: str) -> None:
        self.begin(thread, order)
        self.ends(thread, order, wanted, cause)

    def waits(self, thread: str, order: str, cause: str = "does_not_wait") -> None:
        """The order has to wait: every thread sleeps, and this one has not returned."""
        self.begin(thread, order)
        self.still_waits(thread, order, cause)

    def still_waits(self, thread: str, order: str, cause: str = "does_not_wait") -> None:
        self.program.expect_at_rest()
        expect(self.result(thread, order) is None, f"{thread} waits in {order.split()[0]}", cause=cause,
               otherwise=f"it returned: {self.result(thread, order)}")  # fmt: skip

    def returned(self, threads: list[str], order: str) -> list[str]:
        return [thread for thread in threads if self.result(thread, order) is not None]


@check(points=2, read="a-queue-that-waits", causes=QUEUE)
def test_the_three_queues_have_their_orders(lab: Lab) -> None:
    """First in, first out; last in, first out; the least first."""
    for kind, wanted in (("fifo", "3125"), ("lifo", "5213"), ("priority", "1235")):
        driver = Driver(lab, kind)
        for item in "3125":
            driver.does("ann", f"put {item}", "yes", "stuck")
        driver.does("ann", "size", "4", "wrong_result")
        got = ""
        for count in range(4):
            driver.does(f"bob{count}", "get", wanted[count], "wrong_order")
            got += wanted[count]


@check(points=3, read="a-queue-that-waits", causes=QUEUE)
def test_get_waits_for_an_item_and_put_for_room(lab: Lab) -> None:
    """An empty queue makes who gets wait, a full one makes who puts wait: each is woken by the other."""
    driver = Driver(lab, "fifo", 1)
    driver.waits("bob", "get")
    driver.does("ann", "put 1", "yes", "stuck")
    driver.ends("bob", "get", "1", "lost_wakeup")
    driver.does("ann", "put 2", "yes", "stuck")
    driver.waits("ann", "put 3", "no_limit")
    driver.does("cat", "get", "2", "wrong_order")
    driver.ends("ann", "put 3", "yes", "lost_wakeup")
    driver.does("dan", "get", "3", "wrong_order")


@check(points=2, read="conditions", causes=QUEUE)
def test_three_items_are_for_three_waiting_threads(lab: Lab) -> None:
    """One item is for one of those that wait, and the others wait on: also those that were woken with it."""
    driver = Driver(lab, "fifo")
    threads = ["bob", "cat", "dan"]
    for thread in threads:
        driver.waits(thread, "get")
    for count in (1, 2, 3):
        driver.does("ann", f"put {count}", "yes", "stuck")
        wait_until(lambda: len(driver.returned(threads, "get")) >= count, f"gets that returned: {count}", cause="lost_wakeup")  # noqa: B023
        driver.program.expect_at_rest()
        got = sorted(driver.result(thread, "get") or "" for thread in driver.returned(threads, "get"))
        expect(got == ["1", "2", "3"][:count], f"they got {', '.join('123'[:count])}", cause="woken_for_nothing", otherwise=str(got))


@check(points=3, read="conditions", causes=QUEUE)
def test_who_is_woken_looks_again(lab: Lab) -> None:
    """Between the waking and the taking another thread may come, as here it does: then there is nothing to take."""
    driver = Driver(lab, "fifo")
    driver.waits("bob", "get")
    number = next(thread for thread, name in kernel.thread_ids(driver.program.pid).items() if name == "bob")
    with step("bob is held where he sleeps, while ann's item wakes him; cat is faster") as current, holding(number) as held:
        if held is None:
            current.outcome = "not allowed here"
            return
        driver.does("ann", "put 1", "yes", "stuck")
        driver.does("cat", "get", "1", "lost_wakeup")
    driver.still_waits("bob", "get", "woken_for_nothing")
    driver.does("ann", "put 2", "yes", "stuck")
    driver.ends("bob", "get", "2", "lost_wakeup")


@check(points=3, read="conditions", causes=QUEUE)
def test_two_items_that_come_at_once_wake_two_threads(lab: Lab) -> None:
    """The second item comes before anybody has taken the first: it is a reason of its own to wake somebody."""
    driver = Driver(lab, "fifo")
    for thread in ("bob", "cat"):
        driver.waits(thread, "get")
    numbers = {name: thread for thread, name in kernel.thread_ids(driver.program.pid).items()}
    with step("bob and cat are held where they sleep, while ann puts two items"), \
            holding(numbers["bob"]), holding(numbers["cat"]):  # fmt: skip
        for item in (1, 2):
            driver.does("ann", f"put {item}", "yes", "stuck")
    wait_until(lambda: len(driver.returned(["bob", "cat"], "get")) == 2, "both have got one", cause="lost_wakeup",
               instead=lambda: f"{len(driver.returned(['bob', 'cat'], 'get'))} has")  # fmt: skip


@check(points=2, read="a-queue-that-waits", causes=QUEUE)
def test_a_time_limit_ends_the_waiting(lab: Lab) -> None:
    """Zero seconds are no waiting at all; an hour is long enough for an item that comes before."""
    driver = Driver(lab, "fifo", 1)
    for limit in ("0", "0.05"):
        driver.does("bob", f"get {limit}", "nothing", "no_time_limit")
    driver.does("ann", "put 1 0", "yes", "no_time_limit")
    for limit in ("0", "0.05"):
        driver.does("ann", f"put 2 {limit}", "no", "no_time_limit")
    driver.does("bob", "get 0", "1", "no_time_limit")
    driver.waits("bob", "get 3600", "no_time_limit")
    driver.does("ann", "put 3 3600", "yes", "lost_wakeup")
    driver.ends("bob", "get 3600", "3", "lost_wakeup")
    driver.does("ann", "put 4", "yes", "stuck")
    driver.waits("ann", "put 5 3600", "no_time_limit")
    driver.does("bob", "get", "4", "lost_wakeup")
    driver.ends("ann", "put 5 3600", "yes", "lost_wakeup")


@check(points=4, read="the-end-of-the-input", causes=QUEUE)
def test_close_wakes_everybody(lab: Lab) -> None:
    """No item will come for those that get, no room for those that put: all return. What is there can still be had."""
    driver = Driver(lab, "fifo", 1)
    for thread in ("bob", "cat", "dan"):
        driver.waits(thread, "get 3600" if thread == "dan" else "get")
    driver.does("eve", "close", "done", "not_all_woken")
    for thread in ("bob", "cat", "dan"):
        driver.ends(thread, "get 3600" if thread == "dan" else "get", "nothing", "not_all_woken")
    driver = Driver(lab, "fifo", 1)
    driver.does("ann", "put 1", "yes", "stuck")
    for thread in ("bob", "cat", "dan"):
        driver.waits(thread, "put 2", "no_limit")
    driver.does("eve", "close", "done", "not_all_woken")
    for thread in ("bob", "cat", "dan"):
        driver.ends(thread, "put 2", "no", "not_all_woken")
    driver.does("ann", "put 3", "no", "closed_but_open")
    driver.does("fay", "get", "1", "closed_but_open")
    driver.does("gus", "get", "nothing", "closed_but_open")


@check(points=3, read="a-queue-that-waits", causes=QUEUE)
def test_join_waits_for_the_work_and_not_for_the_queue(lab: Lab) -> None:
    """An item that has been got is being worked on. join returns when task_done has been said of the last one."""
    driver = Driver(lab, "fifo")
    driver.does("eve", "join", "done", "does_not_wait")
    for item in (1, 2):
        driver.does("ann", f"put {item}", "yes", "stuck")
    for thread in ("cat", "dan"):
        driver.waits(thread, "join", "done_too_early")
    for item in (1, 2):
        driver.does("bob", "get", str(item), "wrong_order")
        driver.still_waits("cat", "join", "done_too_early")
        if item == 1:
            driver.does("bob", "task_done", "done", "done_too_early")
            driver.still_waits("cat", "join", "done_too_early")
    driver.does("bob", "task_done", "done", "done_too_early")
    for thread in ("cat", "dan"):
        driver.ends(thread, "join", "done", "lost_wakeup")
    driver.does("bob", "task_done", "task_done: more often than put", "done_too_early")


@check(points=4, read="a-race", causes=QUEUE)
def test_every_function_of_the_queue_locks(lab: Lab) -> None:
    """Each function is called by a thread of its own, one after the other: without a lock the sanitizer sees a race."""
    driver = Driver(lab, "fifo", 2, variant="tsan")
    for thread, order, wanted in (
        ("ann", "put 1", "yes"), ("bob", "size", "1"), ("cat", "put 2 1", "yes"), ("dan", "size", "2"), ("eve", "get", "1"),
        ("fay", "get 1", "2"), ("gus", "task_done", "done"), ("hal", "task_done", "done"), ("ida", "join", "done"),
        ("jim", "size", "0"), ("kim", "close", "done"), ("leo", "put 3", "no"), ("mia", "get", "nothing"), ("ned", "size", "0"),
    ):  # fmt: skip
        driver.does(thread, order, wanted, "items_lost")
        driver.program.expect_alive()
    driver.program.end_input()
    driver.program.expect_exit(0)


def judge_history(run: Run, threads: int, items: int) -> None:
    """Every item was got once, and no consumer saw a producer's items in another order than they were put."""
    run.expect_status(0)
    got: set[tuple[bytes, bytes]] = set()
    last: dict[tuple[bytes, bytes], int] = {}
    twice = disordered = 0
    for line in run.stdout.splitlines():
        if line.startswith(b"#"):
            continue
        consumer, producer, item = line.split()
        twice += (producer, item) in got
        got.add((producer, item))
        disordered += last.get((consumer, producer), -1) >= int(item)
        last[consumer, producer] = int(item)
    expect(not twice and len(got) == items, f"{items} items are got once each", cause="items_lost",
           otherwise=f"{items - len(got)} are missing, {twice} are there twice")  # fmt: skip
    expect(not disordered, "each consumer gets each producer's items in their order", cause="wrong_order",
           otherwise=f"{disordered} times not")  # fmt: skip
    expect(len({consumer for consumer, _ in last}) <= threads, f"the consumers are {threads}")


@check(points=3, read="a-queue-that-waits", causes=QUEUE)
def test_eight_producers_and_eight_consumers_lose_nothing(lab: Lab) -> None:
    """Through room for one and for sixteen, with all of them waiting for each other all the time."""
    judge_history(lab.run("queue_load", "-i", "4000", "-c", "2", variant="tsan"), 8, 4000)
    for capacity in ("1", "16"):
        judge_history(lab.run("queue_load", "-i", "40000", "-c", capacity), 8, 40_000)


@check(points=2, read="a-queue-that-waits", causes=QUEUE, hidden=True)
def test_a_million_items_lose_none(lab: Lab) -> None:
    """What happens once in a hundred thousand times happens ten times here."""
    judge_history(lab.run("queue_load", "-i", "1000000"), 8, 1_000_000)


# --- producer and consumers


MULTIPRINTS = ("multiprint_polling", "multiprint_condition", "multiprint_queue")


def printed(text: str) -> list[tuple[int, str]]:
    """What the readers have said: (reader, character), the character '' for I'm done!; prompts are left out."""
    lines = re.findall(r"^(?:Input: )*Thread-(\d+): (?:(I'm done!)|(.))$", text, re.MULTILINE)
    return [(int(number), character) for number, _, character in lines]


def characters(program: Program) -> str:
    return "".join(sorted(character for _, character in printed(program.stdout.text)))


@check(points=4, read="locks", causes=READERS)
def test_readers_print_at_the_same_time(lab: Lab) -> None:
    """A reader takes its time for a character, an hour here: without the lock, so that the others take theirs."""
    for name in MULTIPRINTS:
        for variant in ("tsan", None):
            program = lab.start(name, "-n", "3", "-d", "3600", stdin=True, variant=variant)
            if variant is None and name != "multiprint_polling":
                program.expect_at_rest()
            program.type("abc\n")
            wait_until(
                lambda: characters(program) == "abc" or program.stderr.data,  # noqa: B023
                "all three characters are printed",
                cause=lambda: "lock_held_while_sleeping" if characters(program) else "lost_wakeup",  # noqa: B023
                instead=lambda: repr(characters(program)),  # noqa: B023
            )
            program.expect_alive()


@check(points=4, read="conditions", causes=READERS)
def test_idle_readers_are_woken_for_each_line_and_for_the_end(lab: Lab) -> None:
    """Three readers sleep; one character wakes them all, and two find nothing: they sleep again. The end is for all."""
    for name in ("multiprint_condition", "multiprint_queue"):
        program = lab.start(name, "-n", "3", "-d", "0", stdin=True)
        program.expect_at_rest()
        for count in range(1, 6):
            program.type("x\n")
            wait_until(lambda: len(characters(program)) == count or "done" in program.stdout.text, "it is printed",  # noqa: B023
                       cause="lost_wakeup")  # fmt: skip
            program.expect_at_rest()
            expect(program.threads() == 4 and "done" not in program.stdout.text, "all three readers are still there",
                   cause="left_early", otherwise=f"{program.threads() - 1} are")  # fmt: skip
        program.end_input()
        program.expect_exit(0, cause="not_all_woken")
        expect(program.stdout.text.count("I'm done!") == 3, "all three are done")


@check(points=4, read="the-end-of-the-input", causes=READERS)
def test_every_character_is_printed_once_and_all_readers_end(lab: Lab) -> None:
    """Whoever prints it: none is lost, none is there twice. Whatever the input's end looks like, every reader says so."""
    for name in MULTIPRINTS:
        for readers, given, wanted in (
            (3, b"hello, world\nInput: me\n\nnot this\n", "hello, worldInput: me"),
            (1, b"one after the other\n", "one after the other"),
            (4, b"no newline", "no newline"),
            (100, b"ab\n", "ab"),
            (2, b"", ""),
            (2, b"\n", ""),
        ):
            run = lab.run(name, "-n", str(readers), "-d", "0", input=given).expect_status(0)
            said = printed(run.stdout.decode())
            got = "".join(character for _, character in said)
            expect(sorted(got) == sorted(wanted), "every character is printed once", otherwise=show(got.encode()), cause="characters_lost")
            expect(readers > 1 or got == wanted, "one reader prints them in order", otherwise=show(got.encode()))
            last = {number: character for number, character in said}
            expect(last == dict.fromkeys(range(1, readers + 1), ""), "each reader says that it is done, and nothing after it",
                   otherwise=str(last), cause="left_early")  # fmt: skip


@check(points=3, read="polling", causes=READERS)
def test_only_polling_wakes_up_for_nothing(lab: Lab) -> None:
    """While nobody types there is nothing to do. The polling readers wake up fifty times a second to see that."""
    polling, *others = [lab.start(name, "-n", "3", stdin=True) for name in MULTIPRINTS]
    for program in others:
        program.expect_at_rest()
    idle = [kernel.context_switches(program.pid) for program in others]
    before = kernel.context_switches(polling.pid)
    wait_until(lambda: kernel.context_switches(polling.pid) >= before + 100, "multiprint_polling has woken up 100 times")
    for program, count in zip(others, idle):
        woken = kernel.context_switches(program.pid) - count
        expect(woken <= 2, f"meanwhile {program.name} has not", cause="polls", otherwise=f"{woken} times")


@check(points=3, read="a-queue-that-waits", causes=READERS)
def test_the_next_line_waits_until_the_last_one_is_printed(lab: Lab) -> None:
    """join returns when the work is done, not when it is taken: a character that is being printed is not done."""
    program = lab.start("multiprint_queue", "-n", "3", "-d", "3600", stdin=True)
    program.type("a\n")
    wait_until(lambda: characters(program) == "a", "the first line is being printed", cause="lost_wakeup")
    program.type("b\n")
    program.expect_at_rest()
    expect(characters(program) == "a", "the second line waits", cause="done_too_early", otherwise="it is printed, too")


# --- servers


@check(points=2, read="a-thread-for-each-client", causes=SERVERS)
def test_each_client_has_a_thread(lab: Lab) -> None:
    """Whoever is silent is silent in a thread of its own: the others are served, and its end is that thread's end."""
    server = lab.server("upper_server")
    ann, bob, cat = server.connect_all("ann", "bob", "cat")
    threaded(server, 3)
    for client in (cat, bob):
        client.send(b"me first\n")
        client.expect(b"ME FIRST\n", cause="one_after_the_other")
    ann.send(b"the last words\n")
    ann.half_close()
    ann.expect(b"THE LAST WORDS\n")
    ann.expect_eof(cause="descriptor_leak")
    threaded(server, 2, cause="thread_leak")
    server.expect_idle()


@check(points=2, read="whose-connection", causes=SERVERS | POOL)
def test_what_threads_use_is_their_own_or_locked(lab: Lab) -> None:
    """A thread may run long after its start, when what it refers to is another client's: it needs its own copy."""
    for name, reply in (("upper_server", b"1 2\n"), ("upper_server_pool", b"1 2\n"), ("cas_server", b"0\n")):
        server = lab.server(name, variant="tsan")
        ann, bob = server.connect_all("ann", "bob")
        for client in (bob, ann):
            client.send(b"1 2\n")
            client.expect(reply, cause="lock_held_while_serving" if "pool" in name else "one_after_the_other")
        ann.half_close()
        ann.expect_eof(cause="descriptor_leak")
        cat = server.connect("cat")
        for client in (cat, bob):
            client.send(b"1 2\n")
            client.expect(reply)
        server.stop()


def come_and_go(server: Server, clients: int, request: bytes, reply: bytes) -> None:
    """So many clients, one after the other, leave no thread, no descriptor and no memory."""
    before = 0
    with step(f"{clients} clients come and go, one after the other", quiet=True):
        for count in range(clients):
            client = server.connect("a client")
            client.send(request)
            client.expect(reply)
            client.close()
            if count == 200:
                before = kernel.memory(server.pid)
    threaded(server, 0, cause="thread_leak")
    wait_until(lambda: len(server.descriptors()) <= 4, "no descriptor is left", cause="descriptor_leak",
               instead=lambda: f"{len(server.descriptors()) - 4} more")  # fmt: skip
    grown = kernel.memory(server.pid) - before
    expect(grown < 4 << 20, "no memory is left over", cause="thread_leak", otherwise=f"{grown >> 10} KiB more")


@check(points=1, read="a-thread-for-each-client", causes=SERVERS)
def test_fifteen_hundred_clients_leave_nothing_behind(lab: Lab) -> None:
    """A thread that has ended and was neither joined nor detached keeps its stack."""
    come_and_go(lab.server("cas_server", variant=""), 1500, b"0 0\n", b"0\n")


@check(points=1, read="whose-connection", causes=BROKEN)
def test_upper_server_global_answers_the_wrong_client(lab: Lab) -> None:
    """One global connection for all threads: it is that of the client who came last, whoever asked."""
    for variant in (None, "tsan"):
        server = lab.server("upper_server_global", variant=variant)
        ann = server.connect("ann")
        ann.send(b"one")
        ann.expect(b"ONE")
        server.expect_at_rest()  # ann's thread waits for ann, as long as she is the last to have come
        bob = server.connect("bob")
        wait_until(lambda: server.stdout.text.count("\nconnected") == 2, "bob is in the log")  # noqa: B023
        threaded(server, 2)
        ann.send(b"two")
        bob.expect(b"TWO", cause="not_broken")
        expect(not ann.unread(), "ann got nothing")
        server.stop()


def expect_gone(server: Server, count: int) -> None:
    """Waits until so many clients have gone, as the log says."""
    told = lambda: server.stdout.text.count("\ndisconnected")  # noqa: E731
    wait_until(lambda: told() >= count or server.status() is not None, f"the log says that {count} have gone",
               instead=lambda: f"{told()}")  # fmt: skip
    server.expect_alive()


SERVING = (("upper_server", []), ("upper_server_pool", []), ("echo_server", ["-d", "0"]), ("class_server", ["-d", "0"]),
        ("cas_server", []), ("bytes_server", []), ("bytes_server_prethreaded", []))  # fmt: skip
THREE = {"echo_server": b"Echo=>3\n at ", "class_server": b"Echo=>3\n at ", "cas_server": b"Bad Syntax\n",
         "bytes_server": rb"\*{3}", "bytes_server_prethreaded": rb"\*{3}"}  # fmt: skip


@check(points=2, read="a-thread-for-each-client", causes=SERVERS | POOL)
def test_no_client_ends_the_server(lab: Lab) -> None:
    """A reset, a close with replies unread, a visit without a word: each ends one connection, and nothing else."""
    for name, words in SERVING:
        server = lab.server(name, *words)
        ann, bob, cat = server.connect_all("ann", "bob", "cat")
        ann.send(b"1 2\n")
        ann.reset()
        bob.send_unread(b"9000000\n" * 1000)
        bob.close()
        cat.close()
        expect_gone(server, 3)
        dan = server.connect("dan")
        dan.send(b"3\n")
        dan.expect_match(THREE.get(name, b"3\n"))
        server.stop()


@check(points=1, read="a-thread-for-each-client", causes=SERVERS)
def test_no_thread_to_be_had_turns_one_client_away(lab: Lab) -> None:
    """To start a thread can fail, for a limit or for memory: one client's bad luck, not the server's end. But where
    several were asked for, nothing begins with fewer: those that there are end, and so does the program."""
    for name, words in (("upper_server", []), ("cas_server", []), ("class_server", ["-d", "0"])):
        server = lab.server(name, *words, faults={"thread": 1})
        ann = server.connect("ann")
        ann.expect_eof(cause="no_thread_unnoticed")
        server.expect_match(rf"^{name}: .*Resource temporarily unavailable", stream="stderr", cause="no_thread_unnoticed")
        bob = server.connect("bob")
        threaded(server, 1)
        bob.close()
        threaded(server, 0)
    many = ("upper_server_pool -p 0", "bytes_server_prethreaded -p 0", "thread_hello", "event", "condition", "multiprint_polling")
    for name in many:
        run = lab.run(*name.split(), "-n", "4", faults={"threads": 2}).expect_status(1)
        run.expect_match("Resource temporarily unavailable", stream="stderr")


def full_or_dead(server: Server) -> bool:
    return len(server.descriptors()) == 16 or server.status() is not None


@check(points=2, read="the-end-of-a-server", causes=SERVERS)
def test_servers_end_at_once_with_clients_connected(lab: Lab) -> None:
    """The threads still work when the process ends: nothing that they use may be destroyed under their hands."""
    for name in ("upper_server", "upper_server_pool", "cas_server", "bytes_server", "class_server"):
        server = lab.server(name, variant="tsan")
        clients = server.connect_all("ann", "bob", "cat")
        clients[0].send_unread(b"1000000\n" * 10_000)
        server.stop()
        for client in clients:
            client.close()
    server = lab.server("upper_server")
    server.connect_all("ann", "bob", "cat")
    with server.paused():
        server.send_signal(signal.SIGTERM)
        server.send_signal(signal.SIGINT)
    server.expect_exit(0)
    expect(server.stdout.text.count("Exiting") == 1, "`Exiting` is printed once, for both signals",
           otherwise=f"{server.stdout.text.count('Exiting')} times")  # fmt: skip


@check(points=1, read="a-thread-for-each-client", causes=SERVERS, hidden=True)
def test_ten_thousand_clients_leave_nothing_behind(lab: Lab) -> None:
    """What is lost once per client ends a server after days; here after seconds."""
    come_and_go(lab.server("upper_server", variant=""), 10_000, b"x", b"X")


# --- pools


@check(points=4, read="pools", causes=POOL)
def test_the_next_client_waits_until_a_thread_is_free(lab: Lab) -> None:
    """A pool of two serves two at a time; the third is connected, waits, and is then served like any other."""
    for name, ask, answer in (("upper_server_pool", b"hello\n", b"HELLO\n"), ("bytes_server_prethreaded", b"3\n", b"***")):
        server = lab.server(name, "-n", "2")
        threaded(server, 2)
        ann, bob = server.connect_all("ann", "bob")
        for client in (bob, ann):
            client.expect_accepted(cause="lock_held_while_serving")
        cat = server.connect("cat")
        cat.send(ask)
        bob.send(ask)
        bob.expect(answer, cause="lock_held_while_serving")
        if name == "upper_server_pool":
            cat.expect_waiting()
            ann.close()
        cat.expect(answer)
        threaded(server, 2, cause="pool_grows")


@check(points=3, read="pools", causes=POOL)
def test_no_client_shrinks_the_pool(lab: Lab) -> None:
    """Whatever a client does to its thread, the thread comes back: three rude ones later, four are served at once."""
    for name, ask, answer in (("upper_server_pool", b"hello\n", b"HELLO\n"), ("bytes_server_prethreaded", b"3\n", b"***")):
        server = lab.server(name, "-n", "4")
        for client in server.connect_all("ann", "bob", "cat"):
            client.send(b"4\n")
            client.expect_match(rb"4|\*")
            client.send(b"5\n")
            client.reset()
        expect_gone(server, 3)
        threaded(server, 4, cause="pool_shrinks")
        clients = server.connect_all("dan", "eve", "fay", "gus")
        for client in clients:
            client.expect_accepted(cause="pool_shrinks")
        for client in clients:
            client.send(ask)
            client.expect(answer, cause="pool_shrinks")


# --- echo, cas, bytes, classes


@check(points=1, read="a-thread-for-each-client", causes=SERVERS)
def test_work_for_one_client_holds_up_no_other(lab: Lab) -> None:
    """Five clients are worked for at the same time, each in its thread; then each gets its own echo."""
    server = lab.server("echo_server", "-d", "1")
    clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
    for client in clients:
        client.send(client.name.encode())
    threaded(server, 5, cause="one_after_the_other")
    for client in clients:
        client.expect_match(rb"Echo=>" + client.name.encode() + rb" at " + DATE + rb"\Z")
        client.half_close()
        client.expect_eof()


@check(points=2, read="classes", causes=SERVERS)
def test_one_handler_serves_in_threads_in_processes_or_one_after_the_other(lab: Lab) -> None:
    """The handler is the same; the mix-in decides. Here each client is worked for for an hour, and eight come."""
    names = [f"client {number}" for number in range(1, 9)]
    server = lab.server("class_server", "-m", "thread", "-d", "3600")
    server.connect_all(*names)
    threaded(server, 8, cause="one_after_the_other")
    server.stop()
    server = lab.server("class_server", "-m", "fork", "-d", "3600")
    server.connect_all(*names)
    wait_until(lambda: len(server.children()) == 8, "the server has eight children", cause="one_after_the_other")
    server.stop()
    server = lab.server("class_server", "-m", "serial", "-d", "3600")
    first, *others = server.connect_all(*names)
    first.expect_accepted()
    server.expect_at_rest()
    for client in others:
        client.expect_waiting()
    expect(server.threads() == 1 and not server.children(), "nobody else is there to serve them")
    for how in ("thread", "fork", "serial"):
        server = lab.server("class_server", "-m", how, "-d", "0")
        for name in ("ann", "bob"):
            client = server.connect(name)
            client.send(name.encode())
            client.expect_match(rb"Echo=>" + name.encode() + rb" at " + DATE + rb"\Z")
            client.half_close()
            client.expect_eof()
        wait_until(lambda: not server.children(), "no child is left")  # noqa: B023


@check(points=4, read="one-register", causes=REGISTER)
def test_swaps_of_two_threads_are_never_one(lab: Lab) -> None:
    """Two clients swap in turn. Without a lock between their threads that is a race, however slowly they do it."""
    server = lab.server("cas_server", variant="tsan")
    ann, bob = server.connect_all("ann", "bob")
    for client, line, reply in (
        (ann, b"0 1\n", b"0\n"), (bob, b"1 2\n", b"1\n"), (ann, b"2 3\n0 0\n", b"2\n3\n"), (bob, b"nine\n3 ", b"Bad Syntax\n"),
        (bob, b"18446744073709551616\n", b"Out of Range\n"),
    ):  # fmt: skip
        client.send(line)
        client.expect(reply)
        server.expect_alive()
    cat = server.connect("cat")
    cat.send(b"9" * 70_000)
    cat.expect(b"Line too long\n")
    cat.expect_eof()
    server.stop()


@check(points=3, read="one-register", causes=REGISTER)
def test_sixteen_clients_count_to_eight_thousand(lab: Lab) -> None:
    """Each adds 500 by compare and swap, and tries again when another was faster: not one step is lost or made twice."""
    count_together(lab.server("cas_server"))


@check(points=1, read="what-a-thread-costs")
def test_bytes_servers_send_as_many_as_were_asked_for(lab: Lab) -> None:
    """A line with a number, so many bytes, the end: also if the line comes in pieces, also if somebody does not read."""
    for name in ("bytes_server", "bytes_server_prethreaded"):
        server = lab.server(name, variant="")
        slow = server.connect("a slow client", receive_buffer=4096)
        slow.send(b"1073741824\n")
        for request, reply in (
            (b"1\n", b"*"), (b"007\n", b"*" * 7), (b"200000\nand more", b"*" * 200_000), (b"0\n", b"Bad Request\n"),
            (b"-1\n", b"Bad Request\n"), (b"1073741825\n", b"Bad Request\n"), (b"1" * 70_000, b"Line too long\n"),
        ):  # fmt: skip
            client = server.connect("ann")
            client.send(request)
            client.expect(reply)
            client.expect_eof()
            client.close()
        bob = server.connect("bob")
        bob.send(b"10")
        bob.half_close()
        bob.expect_eof()
        expect(kernel.memory(server.pid) < 32 << 20, "the server has less than 32 MiB", otherwise=f"{kernel.memory(server.pid) >> 20} MiB")


@check(points=2, read="no-descriptor-left", causes=FULL | POOL)
def test_a_full_server_rests(lab: Lab) -> None:
    """A client for whom there is no descriptor stays in the backlog. To ask for it again and again uses a CPU for nothing."""
    for name, words in SERVING:
        many = ["-n", "20"] if name in ("upper_server_pool", "bytes_server_prethreaded") else []
        server = lab.server(name, *words, *many, descriptors=16, variant="")  # a sanitizer needs descriptors, too
        clients = server.connect_all(*(f"client {number}" for number in range(1, 15)))
        wait_until(partial(full_or_dead, server), "it has used all its descriptors",
                   cause="lock_held_while_serving" if many else None)  # fmt: skip
        server.expect_alive()
        clients[-1].expect_waiting()
        server.expect_idle(cause="spins_when_full")
        for client in clients[:4]:
            client.close()
        clients[-1].send(b"3\n")
        clients[-1].expect_match(THREE.get(name, b"3\n"), cause="never_again")
        server.stop()
        server = lab.server(name, *words, faults={"accept": 1})  # the whole system has no descriptor
        server.expect_idle(cause="spins_when_full")
        server.stop()


@check(points=1, read="what-a-thread-costs")
def test_spawn_cost_measures_both(lab: Lab) -> None:
    """How much dearer a process is than a thread depends on the memory that the process has in use: look yourself."""
    run = lab.run("spawn_cost", "-n", "5").expect_status(0)
    for memory in (0, 1, 10, 100):
        run.expect_match(rf"^ +{memory} MiB +\d+ us +\d+ us +\d+$")
    lab.run("spawn_cost", "-n", "none").expect_status(2).expect_match(r"^usage: spawn_cost \[-n TIMES\]$", stream="stderr")
