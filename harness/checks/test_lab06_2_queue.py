"""What is true of lab06's blocking_queue: queue_driver has its threads do what a check types, queue_load
much at once."""

from __future__ import annotations

from labkit import Lab, Run, check, expect, kernel, step, wait_until
from labkit.driven import Driver
from labkit.instructions import holding
from labkit.threads import expect_no_wakeups, expect_shared


QUEUE = {
    "wrong_result": "The call did not return what it should.",
    "wrong_order": "The items came in another order than this queue has.",
    "does_not_wait": "A call that had to wait returned.",
    "woken_for_nothing": "A get that was woken found no item, and returned without one: another get was "
    "faster, which "
    "may happen at any time, as may a spurious wake-up. Look again, in a loop.",
    "lost_wakeup": "A thread goes on sleeping although its condition is true.",
    "stuck": "A call does not return although it has nothing to wait for. Does it lock a mutex that it "
    "already holds?",
    "not_all_woken": "close must wake all waiting threads, and some of them were not woken.",
    "no_limit": "The capacity was not kept.",
    "closed_but_open": "A closed queue takes nothing, and gives what is left in it.",
    "done_too_early": "join returned before each item was reported as done, or task_done counted wrong.",
    "counted_in_vain": "join waits for an item that no put has added: it was counted although its put "
    "returned false.",
    "counted_below_none": "A task_done too many threw, and had been counted all the same: then join waits "
    "for what nobody has put. Look first, and count then.",
    "no_time_limit": "The time was over, and the call went on waiting, or it did not wait at all.",
    "limit_begins_anew": "The time limit began anew when the thread was woken: compute the deadline once.",
    "polls": "A thread that waits wakes up again and again although nothing has changed.",
    "items_lost": "Items were lost, or were got twice.",
    "not_shared": "The results are right, and do not come from a queue that the threads share.",
}


def queue(lab: Lab, kind: str, capacity: int = 0, variant: str | None = None) -> Driver:
    """Starts queue_driver with a queue of this kind; a capacity of 0 is no limit."""
    return Driver(lab.start("queue_driver", "-c", str(capacity), kind, stdin=True, variant=variant))


@check(points=2, read="a-queue-that-waits", causes=QUEUE)
def test_the_three_queues_have_their_orders(lab: Lab) -> None:
    """First in, first out; last in, first out; the least first."""
    for kind, wanted in (("fifo", "3125"), ("lifo", "5213"), ("priority", "1235")):
        driver = queue(lab, kind)
        for item in "3125":
            driver.does("ann", f"put {item}", "yes", "stuck")
        driver.does("ann", "size", "4", "wrong_result")
        got = ""
        for count in range(4):
            driver.does(f"bob{count}", "get", wanted[count], "wrong_order")
            got += wanted[count]


@check(points=2, read="a-queue-that-waits", causes=QUEUE)
def test_get_waits_for_an_item_and_put_for_room(lab: Lab) -> None:
    """A get from an empty queue waits, and so does a put into a full one. Each wakes the other."""
    driver = queue(lab, "fifo", 1)
    driver.waits("bob", "get")
    driver.does("ann", "put 1", "yes", "stuck")
    driver.ends("bob", "get", "1", "lost_wakeup")
    driver.does("ann", "put 2", "yes", "stuck")
    driver.waits("ann", "put 3", "no_limit")
    driver.does("cat", "get", "2", "wrong_order")
    driver.ends("ann", "put 3", "yes", "lost_wakeup")
    driver.does("dan", "get", "3", "wrong_order")


@check(points=1, read="conditions", causes=QUEUE)
def test_three_items_are_for_three_waiting_threads(lab: Lab) -> None:
    """One of the waiting threads gets an item. The others go on waiting, even if they were woken, too."""
    driver = queue(lab, "fifo")
    threads = ["bob", "cat", "dan"]
    for thread in threads:
        driver.waits(thread, "get")
    for count in (1, 2, 3):
        driver.does("ann", f"put {count}", "yes", "stuck")
        wait_until(
            lambda: len(driver.returned(threads, "get")) >= count,
            f"gets that returned: {count}",
            cause="lost_wakeup",
        )
        driver.program.expect_at_rest()
        got = sorted(driver.result(thread, "get") or "" for thread in driver.returned(threads, "get"))
        expect(
            got == ["1", "2", "3"][:count],
            f"they got {', '.join('123'[:count])}",
            cause="woken_for_nothing",
            otherwise=str(got),
        )


@check(points=1, read="conditions", causes=QUEUE)
def test_a_thread_that_is_woken_looks_again(lab: Lab) -> None:
    """Between the waking and the taking another thread may come, as here: then there is nothing to take."""
    driver = queue(lab, "fifo")
    driver.waits("bob", "get")
    number = driver.thread("bob")
    with step("bob is held where he sleeps, while ann's item wakes him; cat is faster"), holding(number):
        driver.does("ann", "put 1", "yes", "stuck")
        driver.does("cat", "get", "1", "lost_wakeup")
    driver.still_waits("bob", "get", "woken_for_nothing")
    driver.does("ann", "put 2", "yes", "stuck")
    driver.ends("bob", "get", "2", "lost_wakeup")


@check(points=1, read="conditions", causes=QUEUE)
def test_two_items_that_come_at_once_wake_two_threads(lab: Lab) -> None:
    """A second item comes before the first is taken: it must wake another thread."""
    driver = queue(lab, "fifo")
    for thread in ("bob", "cat"):
        driver.waits(thread, "get")
    numbers = {name: thread for thread, name in kernel.thread_ids(driver.program.pid).items()}
    with step("bob and cat are held where they sleep, while ann puts two items"), holding(
        numbers["bob"]
    ), holding(numbers["cat"]):
        for item in (1, 2):
            driver.does("ann", f"put {item}", "yes", "stuck")

    def returned() -> int:
        return len(driver.returned(["bob", "cat"], "get"))

    wait_until(
        lambda: returned() == 2, "both have got one", cause="lost_wakeup", instead=lambda: f"{returned()} has"
    )


@check(points=1, read="a-queue-that-waits", causes=QUEUE)
def test_a_time_limit_ends_the_waiting(lab: Lab) -> None:
    """With zero seconds a call does not wait. With an hour it gets an item that comes before."""
    driver = queue(lab, "fifo", 1)
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


@check(points=1, read="a-queue-that-waits", causes=QUEUE)
def test_a_thread_that_waits_in_the_queue_does_not_wake_up(lab: Lab) -> None:
    """To wait is to sleep on a condition variable, not to look again every few milliseconds."""
    empty, full = queue(lab, "fifo"), queue(lab, "fifo", 1)
    empty.waits("bob", "get")
    empty.waits("cat", "get 3600")
    full.does("ann", "put 1", "yes", "stuck")
    full.waits("ann", "put 2", "no_limit")
    full.waits("dan", "put 3 3600", "no_limit")
    full.waits("eve", "join", "done_too_early")
    clock = lab.start("multiprint_polling", stdin=True)
    expect_no_wakeups([empty.program, full.program], clock, cause="polls")


@check(points=1, read="a-queue-that-waits", causes=QUEUE)
def test_a_time_limit_does_not_begin_anew_with_each_waking(lab: Lab) -> None:
    """bob's limit is over before that of dan, who begins later, although bob is woken meanwhile for an item
    that another thread takes."""
    driver = queue(lab, "fifo")
    driver.begin("bob", "get 2")
    driver.does("eve", "get 1.4", "nothing", "no_time_limit")
    number = driver.thread("bob")
    with step("bob is held where he sleeps, while ann's item wakes him; cat is faster"), holding(number):
        driver.does("ann", "put 1", "yes", "stuck")
        driver.does("cat", "get 0", "1", "lost_wakeup")
    driver.does("dan", "get 1.2", "nothing", "no_time_limit")
    returned = driver.result("bob", "get 2")
    expect(returned == "nothing", "bob has returned before dan", cause="limit_begins_anew")


@check(points=2, read="the-end-of-the-input", causes=QUEUE)
def test_close_wakes_all_threads_that_wait(lab: Lab) -> None:
    """No item will come for a get, and no room for a put: all return. Items that are there are still
    given."""
    driver = queue(lab, "fifo", 1)
    for thread in ("bob", "cat", "dan"):
        driver.waits(thread, "get 3600" if thread == "dan" else "get")
    driver.does("eve", "close", "done", "not_all_woken")
    for thread in ("bob", "cat", "dan"):
        driver.ends(thread, "get 3600" if thread == "dan" else "get", "nothing", "not_all_woken")
    driver.does("fay", "put 9", "no", "closed_but_open")
    driver = queue(lab, "fifo", 1)
    driver.does("ann", "put 1", "yes", "stuck")
    for thread in ("bob", "cat", "dan"):
        driver.waits(thread, "put 2", "no_limit")
    driver.does("eve", "close", "done", "not_all_woken")
    for thread in ("bob", "cat", "dan"):
        driver.ends(thread, "put 2", "no", "not_all_woken")
    driver.does("ann", "put 3", "no", "closed_but_open")
    driver.does("fay", "get", "1", "closed_but_open")
    driver.does("gus", "get", "nothing", "closed_but_open")


@check(points=2, read="a-queue-that-waits", causes=QUEUE)
def test_join_waits_for_the_work_and_not_for_the_queue(lab: Lab) -> None:
    """An item that was got is still worked on. join returns when task_done has reported the last one."""
    driver = queue(lab, "fifo")
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
    driver.does("cat", "join", "done", "counted_below_none")
    driver = queue(lab, "fifo", 1)
    driver.does("ann", "put 1", "yes", "stuck")
    driver.does("ann", "put 2 0", "no", "no_time_limit")
    driver.waits("fay", "put 3", "no_limit")
    driver.does("eve", "close", "done", "not_all_woken")
    driver.ends("fay", "put 3", "no", "not_all_woken")
    driver.does("ann", "put 4", "no", "closed_but_open")
    driver.does("bob", "get", "1", "closed_but_open")
    driver.does("bob", "task_done", "done", "done_too_early")
    driver.does("dan", "join", "done", "counted_in_vain")


@check(points=2, read="a-race", causes=QUEUE)
def test_every_function_of_the_queue_locks(lab: Lab) -> None:
    """Each function is called by a thread of its own, one after the other: without a lock the sanitizer
    sees a race."""
    driver = queue(lab, "fifo", 2, variant="tsan")
    orders = (
        ("ann", "put 1", "yes"),
        ("bob", "size", "1"),
        ("cat", "put 2 1", "yes"),
        ("dan", "size", "2"),
        ("eve", "get", "1"),
        ("fay", "get 1", "2"),
        ("gus", "task_done", "done"),
        ("hal", "task_done", "done"),
        ("ida", "join", "done"),
        ("jim", "size", "0"),
        ("kim", "close", "done"),
        ("leo", "put 3", "no"),
        ("mia", "get", "nothing"),
        ("ned", "size", "0"),
    )
    for thread, order, wanted in orders:
        driver.does(thread, order, wanted, "items_lost")
        driver.program.expect_alive()
    driver.program.end_input()
    driver.program.expect_exit(0)
    driver = Driver(lab.start("queue_driver", "fifo", stdin=True, variant="tsan", unlocked=True))
    for thread, order, wanted in orders:
        driver.does(thread, order, wanted, "items_lost")
    expect_shared(driver.program, len(orders), cause="not_shared")


def judge_history(run: Run, threads: int, items: int, producers: int = 8) -> None:
    """Every item was got once, and no consumer saw a producer's items in another order than they were put."""
    run.expect_status(0)
    run.expect_threads(threads + producers, cause="not_shared")
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
    expect(
        not twice and len(got) == items,
        f"{items} items are got once each",
        cause="items_lost",
        otherwise=f"{items - len(got)} are missing, {twice} are there twice",
    )
    expect(
        not disordered,
        "each consumer gets each producer's items in their order",
        cause="wrong_order",
        otherwise=f"{disordered} times not",
    )
    expect(len({consumer for consumer, _ in last}) <= threads, f"the consumers are {threads}")


@check(points=1, read="a-queue-that-waits", causes=QUEUE)
def test_eight_producers_and_eight_consumers_lose_nothing(lab: Lab) -> None:
    """Through room for one and for sixteen, all of them waiting for each other all the time."""
    judge_history(lab.run("queue_load", "-i", "4000", "-c", "2", variant="tsan"), 8, 4000)
    for capacity in ("1", "16"):
        judge_history(lab.run("queue_load", "-i", "40000", "-c", capacity, faults={}), 8, 40_000)


@check(points=1, read="a-queue-that-waits", causes=QUEUE, hidden=True, slow=True)
def test_two_hundred_thousand_items_lose_none(lab: Lab) -> None:
    """What goes wrong once in a hundred thousand times goes wrong twice here."""
    judge_history(lab.run("queue_load", "-n", "2", "-i", "200000", faults={}), 2, 200_000, 2)
