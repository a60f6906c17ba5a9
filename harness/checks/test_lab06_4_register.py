"""What is true of lab06's readers–writer lock: register_rw has its threads come and go as a check types."""

from __future__ import annotations

from labkit import Lab, check, expect, kernel, step, wait_until
from labkit.driven import Driver
from labkit.instructions import holding
from labkit.threads import expect_no_wakeups, expect_shared

LOCK = {
    "wrong_result": "The call did not return what it should.",
    "readers_wait": "A reader waited for another reader: readers share the lock.",
    "not_alone": "A writer held the lock together with another thread.",
    "writer_starves": "A reader overtook a writer that waited: if readers come and go, the writer waits for "
    "ever.",
    "reader_starves": "A writer overtook readers that waited: if writers come and go, the readers wait for "
    "ever.",
    "polls": "A thread that waits wakes up again and again although nothing has changed.",
    "lost_wakeup": "The lock is free for a thread that waits for it, and the thread was not woken.",
    "not_shared": "The results are right, and no lock stands between the threads that use the register.",
}


def register(lab: Lab, variant: str | None = None, unlocked: bool = False) -> Driver:
    return Driver(lab.start("register_rw", stdin=True, variant=variant, unlocked=unlocked))


@check(points=2, read="readers-and-writers", causes=LOCK)
def test_readers_share_and_a_writer_is_alone(lab: Lab) -> None:
    """Readers read at the same time. A writer waits for all readers, and all readers wait for a writer."""
    driver = register(lab)
    for thread in ("ann", "bob", "cat"):
        driver.does(thread, "read", "0", "readers_wait")
    driver.waits("dan", "write 7", "not_alone")
    for thread in ("cat", "ann"):
        driver.does(thread, "done", "done", "lost_wakeup")
        driver.still_waits("dan", "write 7", "not_alone")
    driver.does("bob", "done", "done", "lost_wakeup")
    driver.ends("dan", "write 7", "written", "lost_wakeup")
    driver.waits("eve", "write 8", "not_alone")
    driver.does("dan", "done", "done", "lost_wakeup")
    driver.ends("eve", "write 8", "written", "lost_wakeup")
    driver.waits("ann", "read", "not_alone")
    driver.does("eve", "done", "done", "lost_wakeup")
    driver.ends("ann", "read", "8", "lost_wakeup")
    driver.does("bob", "read", "8", "readers_wait")
    for thread in ("ann", "bob"):
        driver.does(thread, "done", "done", "lost_wakeup")

    driver.does("dan", "write 9", "written", "lost_wakeup")
    for thread in ("ann", "bob", "cat"):
        driver.waits(thread, "read", "not_alone")
    first = driver.thread("ann")
    with step("ann, who came first, is held where she sleeps, while dan lets the readers in"), holding(first):
        driver.does("dan", "done", "done", "lost_wakeup")
        others = [thread for thread in kernel.thread_ids(driver.program.pid) if thread != first]
        wait_until(lambda: all(kernel.state(thread) == "S" for thread in others), "the others have looked")
    for thread in ("ann", "bob", "cat"):
        driver.ends(thread, "read", "9", "readers_wait")


@check(points=2, read="readers-and-writers", causes=LOCK)
def test_no_reader_overtakes_a_writer_and_no_writer_a_reader(lab: Lab) -> None:
    """Readers that come and go do not starve a writer, and writers that come and go do not starve readers."""
    driver = register(lab)
    driver.does("ann", "read", "0", "readers_wait")
    driver.waits("bob", "write 1", "not_alone")
    driver.waits("cat", "read", "writer_starves")
    driver.waits("dan", "read", "writer_starves")
    driver.waits("eve", "write 2", "not_alone")
    driver.does("ann", "done", "done", "lost_wakeup")
    driver.ends("bob", "write 1", "written", "lost_wakeup")
    driver.does("bob", "done", "done", "lost_wakeup")
    driver.program.expect_at_rest()
    overtaken = driver.result("eve", "write 2") is not None
    expect(not overtaken, "eve, who came last, has not written", cause="reader_starves")
    driver.ends("cat", "read", "1", "lost_wakeup")
    driver.ends("dan", "read", "1", "readers_wait")
    driver.still_waits("eve", "write 2", "not_alone")
    driver.waits("fay", "read", "writer_starves")
    driver.does("cat", "done", "done", "lost_wakeup")
    driver.still_waits("eve", "write 2", "not_alone")
    driver.does("dan", "done", "done", "lost_wakeup")
    driver.ends("eve", "write 2", "written", "lost_wakeup")
    driver.does("eve", "done", "done", "lost_wakeup")
    driver.ends("fay", "read", "2", "lost_wakeup")
    many_come_at_once(lab)


def many_come_at_once(lab: Lab) -> None:
    """Twenty-four readers and twelve writers wait for one writer. Each of them has its turn in the end: who
    gives the lock back wakes the thread whose turn it is, wherever that waits among the others.
    """
    program = lab.start("register_rw", stdin=True)
    program.type("first write 1\n")
    program.expect_match(r"(?s)< first write 1: written\n", cause="lost_wakeup")
    lines = []
    for number in range(12):
        lines += [f"reader{number} read", f"other{number} read", f"writer{number} write {number}"]
    lines += ["first done", *(line.split()[0] + " done" for line in lines)]

    def returned() -> int:
        return program.stdout.text.count("\n< ")

    with step("24 readers and 12 writers come, and each gives the lock back", quiet=True):
        program.type("\n".join(lines) + "\n")
        wait_until(
            lambda: returned() == len(lines) + 1 or program.status() is not None,
            "each of their calls returns",
            cause="lost_wakeup",
            instead=lambda: f"{returned() - 1} of {len(lines)}",
        )


@check(points=1, read="readers-and-writers", causes=LOCK)
def test_a_thread_that_waits_for_the_lock_does_not_wake_up(lab: Lab) -> None:
    """Readers and writers that wait sleep until a thread gives the lock back."""
    driver = register(lab)
    driver.does("ann", "write 1", "written", "not_alone")
    driver.waits("bob", "read", "not_alone")
    driver.waits("cat", "write 2", "not_alone")
    driver.waits("dan", "read", "not_alone")
    clock = lab.start("multiprint_polling", stdin=True)
    expect_no_wakeups([driver.program], clock, cause="polls")


@check(
    points=1,
    read="readers-and-writers",
    causes=LOCK,
    after="readers_share_and_a_writer_is_alone",
)
def test_what_a_writer_wrote_every_later_reader_sees(lab: Lab) -> None:
    """The lock puts a write before the reads after it: without that, the sanitizer sees a race."""
    orders = (
        ("ann", "read", "0"),
        ("ann", "done", "done"),
        ("bob", "write 1", "written"),
        ("bob", "done", "done"),
        ("cat", "write 2", "written"),
        ("cat", "done", "done"),
        ("ann", "read", "2"),
        ("dan", "read", "2"),
        ("dan", "done", "done"),
        ("ann", "done", "done"),
        ("eve", "write 3", "written"),
        ("eve", "done", "done"),
    )
    driver = register(lab, variant="tsan")
    for thread, order, wanted in orders:
        driver.does(thread, order, wanted, "lost_wakeup")
        driver.program.expect_alive()
    driver.program.end_input()
    driver.program.expect_exit(0)
    driver = register(lab, variant="tsan", unlocked=True)
    for thread, order, wanted in orders:
        driver.does(thread, order, wanted, "lost_wakeup")
    expect_shared(driver.program, len(orders), cause="not_shared")
