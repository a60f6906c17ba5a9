"""What is true of lab06's multiprint programs: one producer, several readers."""

from __future__ import annotations

import contextlib
import re

from labkit import Lab, check, expect, kernel, show, step, wait_until
from labkit.instructions import holding
from labkit.program import Program
from labkit.threads import expect_no_wakeups


READERS = {
    "lock_held_while_sleeping": "A reader kept the mutex while it slept: no other could take a character "
    "meanwhile.",
    "left_early": "A reader was woken, found no character, and ended: it must look again, in a loop.",
    "not_all_woken": "The change concerned all threads, but only one was woken: the others go on sleeping.",
    "lost_wakeup": "A thread sleeps although there is work for it: it was not woken, or it was woken before "
    "it slept.",
    "not_by_readers": "Each reader is a thread, and prints for itself: there are too few threads, or another "
    "thread prints.",
    "characters_lost": "Not every character was printed exactly once.",
    "byte_is_end": "A character of the line was taken for the end. Each byte but the newline is a "
    "character, NUL and 255 are, too: the end has to be told in another way.",
    "cr_dropped": "The CR at the end of a line was taken away. It is a character, and a line that has "
    "nothing else is not empty.",
    "polls": "It wakes up again and again although nothing has changed: wait on a condition variable "
    "instead.",
    "done_too_early": "The next line was handed out while a character of the last one was still being "
    "printed.",
}
MULTIPRINTS = ("multiprint_polling", "multiprint_condition", "multiprint_queue")


def printed(text: str) -> list[tuple[int, str]]:
    """What the readers have said: (reader, character), the character '' for I'm done!; prompts are left
    out."""
    lines = re.findall(r"^(?:Input: )*Thread-(\d+): (?:(I'm done!)|(.))$", text, re.MULTILINE)
    return [(int(number), character) for number, _, character in lines]


def characters(program: Program) -> str:
    return "".join(sorted(character for _, character in printed(program.stdout.text)))


@check(points=2, read="locks", causes=READERS)
def test_readers_print_at_the_same_time(lab: Lab) -> None:
    """A reader works on a character for a long time, here an hour, and without the lock. So the other readers
    can work, too."""
    for name in MULTIPRINTS:
        for variant in ("tsan", None):
            program = lab.start(name, "-n", "3", "-d", "3600", stdin=True, variant=variant)
            if variant is None and name != "multiprint_polling":
                program.expect_at_rest()
            program.type("abc\n")
            wait_until(
                lambda: characters(program) == "abc" or program.stderr.data,
                "all three characters are printed",
                cause=lambda: "lock_held_while_sleeping" if characters(program) else "lost_wakeup",
                instead=lambda: repr(characters(program)),
            )
            program.expect_alive()
        if name != "multiprint_polling":
            only_readers_print(lab, name)


def only_readers_print(lab: Lab, name: str) -> None:
    """Of three readers two are held where they sleep: no more than one character is printed meanwhile."""
    program = lab.start(name, "-n", "3", "-d", "3600", stdin=True)
    program.expect_at_rest()
    expect(program.threads() == 4, f"{name} has three readers", cause="not_by_readers")
    free, *others = (thread for thread in kernel.thread_ids(program.pid) if thread != program.pid)
    with contextlib.ExitStack() as held, step("two of the three readers are held"):
        for reader in others:
            held.enter_context(holding(reader))
        program.type("abc\n")
        wait_until(
            lambda: program.has_read() and all(map(kernel.waiting_in, (program.pid, free))),
            "the line is read, and the other threads sleep",
        )
        early = characters(program)
        what = "no more than one character is printed"
        expect(len(early) <= 1, what, otherwise=f"{early} are", cause="not_by_readers")
    wait_until(lambda: characters(program) == "abc", "then all three are", cause="lost_wakeup")


@check(points=2, read="conditions", causes=READERS)
def test_idle_readers_are_woken_for_each_line_and_for_the_end(lab: Lab) -> None:
    """Three readers sleep; one character wakes them all, and two find nothing: they sleep again. The end
    is for all."""
    for name in ("multiprint_condition", "multiprint_queue"):
        program = lab.start(name, "-n", "3", "-d", "0", stdin=True)
        program.expect_at_rest()
        expect(program.threads() == 4, "it has three readers", cause="not_by_readers")
        for count in range(1, 6):
            program.type("x\n")
            wait_until(
                lambda: len(characters(program)) == count or "done" in program.stdout.text,
                "it is printed",
                cause="lost_wakeup",
            )
            program.expect_at_rest()
            stayed = program.threads() == 4 and "done" not in program.stdout.text
            expect(
                stayed,
                "all three readers are still there",
                cause="left_early",
                otherwise=f"{program.threads() - 1} are",
            )
        program.end_input()
        program.expect_exit(0, cause="not_all_woken")
        expect(program.stdout.text.count("I'm done!") == 3, "all three are done")


@check(points=3, read="the-end-of-the-input", causes=READERS)
def test_every_character_is_printed_once_and_all_readers_end(lab: Lab) -> None:
    """No character is lost, and none is printed twice. At the end of the input, of any form, each reader
    says so."""
    for name in MULTIPRINTS:
        for readers, given, wanted in (
            (3, b"hello, world\nInput: me\n\nnot this\n", "hello, worldInput: me"),
            (1, b"one after the other\n", "one after the other"),
            (4, b"no newline", "no newline"),
            (100, b"ab\n", "ab"),
            (2, b"", ""),
            (2, b"\n", ""),
        ):
            run = lab.run(name, "-n", str(readers), "-d", "0", input=given, faults={}).expect_status(0)
            run.expect_threads(readers, cause="not_by_readers")
            said = printed(run.stdout.decode())
            got = "".join(character for _, character in said)
            expect(
                sorted(got) == sorted(wanted),
                "every character is printed once",
                otherwise=show(got.encode()),
                cause="characters_lost",
            )
            expect(
                readers > 1 or got == wanted, "one reader prints them in order", otherwise=show(got.encode())
            )
            last = {number: character for number, character in said}
            wanted_last = dict.fromkeys(range(1, readers + 1), "")
            what = "each reader says that it is done, and nothing after it"
            expect(last == wanted_last, what, otherwise=str(last), cause="left_early")
        any_byte_is_a_character(lab, name)


def any_byte_is_a_character(lab: Lab, name: str) -> None:
    """A line has every byte but the newline: one reader prints each of them, in order."""
    line = bytes(byte for byte in range(256) if byte != ord("\n"))
    run = lab.run(name, "-n", "1", "-d", "0", input=line + b"\n", endless="byte_is_end").expect_status(0)
    got = "".join(character for _, character in printed(run.stdout.decode("latin-1")))
    told = f"behind {show(got.encode('latin-1')[-1:])} comes none, or another one" if got else "none is"
    expect(got == line.decode("latin-1"), "all 255 are printed", otherwise=told, cause="byte_is_end")
    run = lab.run(name, "-n", "1", "-d", "0", input=b"x\r\n\r\ny\r\n").expect_status(0)
    got = "".join(character for _, character in printed(run.stdout.decode("latin-1")))
    expect(got == "x\r\ry\r", "a CR is printed, too", otherwise=show(got.encode()), cause="cr_dropped")


@check(points=2, read="polling", causes=READERS, after="idle_readers_are_woken_for_each_line_and_for_the_end")
def test_only_polling_wakes_up_for_nothing(lab: Lab) -> None:
    """Nothing is typed, so there is nothing to do. Only the polling readers wake up, fifty times a second."""
    polling, *others = [lab.start(name, "-n", "3", stdin=True) for name in MULTIPRINTS]
    expect_no_wakeups(others, polling, cause="polls")
    for program in others:
        expect(program.threads() == 4, f"{program.name} has three readers", cause="not_by_readers")


@check(points=2, read="a-queue-that-waits", causes=READERS)
def test_the_next_line_waits_until_the_last_one_is_printed(lab: Lab) -> None:
    """join returns when the work is done, not when it is taken: a character that is being printed is not
    done."""
    program = lab.start("multiprint_queue", "-n", "3", "-d", "3600", stdin=True)
    program.type("a\n")
    wait_until(lambda: characters(program) == "a", "the first line is being printed", cause="lost_wakeup")
    expect(program.threads() == 4, "it has three readers", cause="not_by_readers")
    program.type("b\n")
    program.expect_at_rest()
    expect(
        characters(program) == "a",
        "the second line waits",
        cause="done_too_early",
        otherwise="it is printed, too",
    )
