"""What is true of lab08: resets, the race before select, files, corks, and sockets as streams."""

import contextlib
import errno
import itertools
import os
import re
import signal
import string
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from labkit import Failed, Lab, Server, check, expect, kernel, secret_word, shortage, step, wait_until
from labkit.box import IN_MEMORY, temporary_directory
from labkit.client import Peer
from labkit.instructions import holding
from labkit.program import Program
from labkit.server import ANOTHER_ADDRESS
from labkit.short_sends import reply_ends_early
from labkit.steps import Cause, CouldNotTell, difference
from labkit.stillness import selected, waits_for_ever
from labkit.waiting import allowing, deadline, poll

ASLEEP = "while it sleeps"
MOST_POINTS = 100  # begins and ends of system calls between one signal and the next
COPY, SENDFILE = "file_server_copy", "file_server_sendfile"

RESETS = {
    "no_reset": "SO_LINGER with a time of 0 has to be set before close: else the connection ends in order.",
    "wrong_words": "What read failed with is printed as `[Errno N] TEXT`.",
}
WAKE_UPS = {
    "signal_lost": "The signal came before select, and nothing of it is left that select can see: no byte "
    "was written, or it was thrown away before.",
    "no_pipe_yet": "The signal came when its handler was there and the pipe was not: make the pipe first.",
    "not_lost": "This program shows the race: the signal in the gap has to be lost.",
    "handler_blocks": "The handler waits for room in a full pipe, and the loop that could empty it waits "
    "for the handler.",
    "may_block": "Both ends of the pipe have to be non-blocking: otherwise the write may block the handler, "
    "or the read the loop.",
    "not_drained": "Bytes stayed in the pipe: it has to be read until it is empty, or each wakes select "
    "once more.",
    "drain_blocks": "The loop that empties the pipe waits for a byte more than there is.",
    "errno_lost": "The handler came between select and the look at its errno, and left its own there: the "
    "full pipe's EAGAIN.",
    "no_handler_yet": "The PID is printed, and the handler is not there yet: who sends the signal as soon "
    "as the PID is known ends the program. Install the handler first.",
    "handler_works": "The handler does more than write a byte. It may have interrupted the very function "
    "that it calls.",
}
FILES = {
    "not_everything": "The call took less than it was given, or at most 2 GiB: it has to be repeated until "
    "all is sent.",
    "wrong_bytes": "The whole buffer was sent. Only the bytes that read returned belong to the file.",
    "size_overflows": "The bytes of a file past 2 or 4 GiB do not come, or its size is told wrong: the size "
    "does not fit into 32 bits, and off_t holds it.",
    "end_lost": "The client has sent more than its line, and the end of its file did not come: a close with "
    "unread bytes sends a reset. Read on before you close (lingering_close.hpp).",
    "held_in_memory": "The file is held in memory as a whole: send it piece by piece.",
    "one_buffer": "A client got bytes of the file that another one had asked for: each thread needs a "
    "buffer of its own.",
    "beyond_the_size": "The server has promised SIZE bytes: if the file grows meanwhile, it must not send "
    "more.",
    "error_in_the_file": "Behind `OK SIZE` each byte is the file's: an error that is told there is taken "
    "for a part of it. Close the connection early instead.",
    "waits_for_bytes": "The file ended before SIZE bytes were sent, and the loop went on.",
    "killed_by_leaver": "sendfile has no MSG_NOSIGNAL: SIGPIPE has to be ignored.",
    "stalls_others": "One client that does not read delays the others.",
    "descriptor_leaks": "A file that was opened is not closed again.",
}
DIRECTORY = {
    "text_was_tested": "The name looks harmless, and the path leads out by a link: ask the kernel "
    "(openat2), not the text.",
    "not_beneath": "The name led out of the directory.",
    "bent_back": "A name that leads out was bent back into the directory, and got a file of it: refuse it "
    "(RESOLVE_BENEATH).",
    "too_strict": "The path stays within the directory: RESOLVE_BENEATH lets it pass.",
    "not_regular": "What was opened is no regular file: fstat tells.",
    "fifo_waits": "open waits for the writer of a FIFO, except with O_NONBLOCK.",
    "name_changed": "The name is what stands before the newline, with all its bytes: a blank or a CR at its "
    "end belongs to it.",
    "name_rewritten": "The name was rewritten as a text. For the kernel `..` leads up from where the path "
    "has led to, through a link, too, and every directory in it has to be there.",
    "another_reason": "The reason that the client gets is another one than the kernel's: it is the text of "
    "errno, and only EXDEV has words of its own.",
    "nul_in_name": "A C string ends at the first NUL byte, and the name did not.",
}
STREAMS = {
    "byte_is_eof": "A char that is negative became eof(): traits_type::to_int_type makes it a byte.",
    "never_flushed": "sync has to send the bytes between pbase() and pptr().",
    "sent_twice": "After a flush the put area has to be empty: setp.",
    "overtaken": "All bytes came, in another order: what was written later left before what waits in the "
    "buffer.",
    "byte_lost": "overflow is given a byte that has to be kept, too.",
    "wrong_length": "A flush has to send the bytes between pbase() and pptr(), and nothing else.",
    "error_is_eof": "A failed recv is no end of file: only what is thrown becomes badbit.",
    "short_send": "send took less than it was given: send_all repeats it.",
    "sigpipe_in_stream": "The other side had gone, and the write raised SIGPIPE: MSG_NOSIGNAL.",
    "input_dropped": "A flush is for what was written: what has been received, and not been read yet, has "
    "to stay.",
    "nothing_read": "underflow has to receive, and to show with setg what came.",
    "early": "What was written left before anybody flushed it.",
}
REDIRECTIONS = {
    "read_flushes": "A read has sent what was written: it leaves by a flush, when the buffer is full, and at "
    "the end, not earlier.",
    "no_deadlock": "Without the flush, each of the two has to wait for the other.",
}

TALK = {
    "name_refused": "A good name was not taken.",
    "name_given_twice": "Two clients have one name: nobody can tell who speaks.",
    "name_breaks_protocol": "A name that is none was taken: letters, digits, - and _ alone, 1 to 32 of them.",
    "talk_before_name": "A client that has no name yet takes no part in the chat.",
    "heard_after_quit": "The others got something else than that the client has left: what it had sent "
    "behind its /quit counts no more.",
    "not_announced": "Joined and left are told to all others, and a client that has left has no name any "
    "more.",
    "not_to_all": "What one says has to reach every other client, whole and once.",
    "told_itself": "A client got back what it said itself.",
    "private_told": "A private line goes to one client alone.",
    "text_changed": "A text came with other bytes than were said. It begins behind one blank, and ends at "
    "the newline: all blanks belong to it.",
    "command_wrong": "A command is answered otherwise than the contract says.",
    "orders_differ": "Two clients heard the same lines in different orders: give a line to all clients "
    "before you give the next line to any.",
    "recv_taken_for_line": "What one recv returned was taken for one line: keep what has come until a "
    "newline is there.",
    "half_line_said": "Half a line, without its newline, was taken for a line at the end of the connection.",
    "line_limit_wrong": "A line has at most 1024 bytes; a longer one ends the connection, behind what was "
    "said before it.",
    "reset_too_early": "The connection was closed while there were bytes to read: this sends a reset, and "
    "the last line is lost.",
    "control_byte_passes": "A control byte was let through, or another byte was refused.",
    "slow_reader_delays": "One client does not read, and the others wait for it.",
    "cut_off_too_early": "A client was cut off although less than 64 KiB waited for it.",
    "send_gave_up": "A send took nothing within its limit of time (EAGAIN), and the client was cut off. Less "
    "than 64 KiB waits for it: try again.",
    "dropped_at_the_end": "A client has sent its end of file, and what waited for it in the server was "
    "dropped.",
    "never_cut_off": "A client does not read, and what waits for it grows and grows: cut it off at 64 KiB.",
    "cut_off_untold": "What a client does not read is thrown away, and the client is still there: close its "
    "connection, wake up who waits for it, and tell the others.",
    "idle_limit_ignored": "A client that sent nothing for longer than -w is still there, or was not told "
    "why it ended.",
    "hearing_counts": "A client that sends nothing stays as long as it gets lines: what is sent to it does "
    "not begin the limit anew.",
    "active_client_ended": "The limit is for a client that sends nothing: each byte begins it anew.",
    "lingers_for_ever": "A client has said /quit, and its connection is never closed: because it does not "
    "read, or because it goes on sending. Behind the last words two seconds are enough, whatever the "
    "client does.",
    "too_few_clients": "Not all of a thousand clients could join: each needs a descriptor (RLIMIT_NOFILE).",
    "descriptor_leaks": FILES["descriptor_leaks"],
}

# --- resets


@check(points=0, read="a-reset", causes=RESETS | shortage.CAUSES, slow=True)
def test_rst_server_resets(lab: Lab) -> None:
    """SO_LINGER with a time of 0 makes close send a reset. The client sees it in its errno."""
    server = lab.server("rst_server")
    for name in ("ann", "bob"):
        number = server.errno_of_client(name)
        expect(
            number == errno.ECONNRESET,
            "the client's errno is ECONNRESET",
            otherwise=os.strerror(number),
            cause="no_reset",
        )
    server.stop()
    server = lab.server("rst_server", faults={"accept": 1})
    server.expect_idle(cause="spins_when_full")
    expect(
        server.stderr.text.count(shortage.REASON) == 1,
        "one shortage is said once",
        cause="accept_failed_noisily",
    )
    server.stop()


def meets_a_reset(lab: Lab, *options: str) -> Program:
    """Starts sigpipe, which is reset when it reads: a reset that is faster can make connect fail."""
    server = lab.server("rst_server")
    with server.paused():
        program = lab.start("sigpipe", "-p", str(server.port), *options, "localhost")
        wait_until(
            lambda: program.status() is not None or waits_for_nothing(program.pid),
            "it is connected, and waits",
        )
    return program


@check(points=0, read="sigpipe", causes=RESETS)
def test_sigpipe_kills_who_writes_after_a_reset(lab: Lab) -> None:
    """The first read reports the reset. The next write raises a signal that ends the process."""
    program = meets_a_reset(lab)
    program.expect_exit(-signal.SIGPIPE)
    program.expect_match(r"\A\[Errno 104\] Connection reset by peer\n\Z", cause="wrong_words")


@check(points=0, read="sigpipe", causes=RESETS)
def test_sigpipe_ignored_is_epipe(lab: Lab) -> None:
    """Where SIGPIPE is ignored the write fails instead, with EPIPE, and the program can say so."""
    program = meets_a_reset(lab, "-e")
    program.expect_exit(1)
    program.expect_match(r"\A\[Errno 104\] Connection reset by peer\n\Z", cause="wrong_words")
    program.expect_match(r"^sigpipe: write: Broken pipe$", stream="stderr")


# --- the race before select


def shown_pid(program: Program) -> str:
    """The number that the program has printed: in a box it has one of its own."""
    return program.expect_match(r"\APID: (\d+)\n")[1]


def in_the_gap(
    lab: Lab, name: str, send: Callable[[Program], None], rounds: int = 1, wide: float = 0.4
) -> Program:
    """Starts the program and sends it signals while it is between sigaction and select, which `wide` seconds
    make sure.

    Tries again with a wider gap if the machine was too slow; returns when the program has come out of the
    gap.
    """
    for seconds in (wide, wide * 5, wide * 25):
        begin = time.monotonic()
        program = lab.start(name, "-d", str(seconds), *(["-r", str(rounds)] if rounds > 1 else []))
        program.expect_text(f"PID: {shown_pid(program)}\nSleep for {seconds:g} secs\n")
        send(program)
        if time.monotonic() - begin < seconds:  # the gap began later than this, so it is not over yet
            out_of_the_gap(program)
            return program
        program.send_signal(signal.SIGKILL)
        wait_until(lambda: program.status() is not None, "it is out of the way")
    raise CouldNotTell("the program was out of the gap before the signals were sent")


def out_of_the_gap(program: Program, times: int = 1) -> None:
    """Lets the program sleep its gap out, which is longer than anything else may take."""
    seconds = float(program.argv[program.argv.index("-d") + 1])
    with step(f"the gap, {seconds:g} s wide, is over"):
        poll(lambda: program.stdout.text.count("Wake") >= times or program.status() is not None, seconds)


def one_signal(program: Program) -> None:
    program.send_signal(signal.SIGUSR1)


def storm(count: int) -> Callable[[Program], None]:
    """Sends SIGUSR1 so often, the next when the last has been delivered; fewer times if the gap is over
    before.
    """

    def send(program: Program) -> None:
        with step(f"SIGUSR1 comes {count} times", quiet=True), contextlib.suppress(ProcessLookupError):
            for _ in range(count):
                if "Wake" in program.stdout.text:
                    return
                os.kill(program.pid, signal.SIGUSR1)
                if signal.SIGUSR1 in kernel.signals(program.pid, "pending"):
                    wait_until(
                        lambda: signal.SIGUSR1 not in kernel.signals(program.pid, "pending"),
                        "the handler is called",
                        cause="handler_blocks",
                        instead=lambda: f"the handler does not return, in {kernel.waiting_in(program.pid)},",
                    )

    return send


@check(points=0, read="the-race-before-select", causes=WAKE_UPS)
def test_selsig_race_loses_the_signal(lab: Lab) -> None:
    """The handler has run, and select waits nevertheless: a signal that came before select leaves nothing
    that select could see."""
    program = in_the_gap(lab, "selsig_race", one_signal)
    program.expect_text('Wake up and block in "select"\n')
    program.expect_at_rest()
    expect("Got signal" not in program.stdout.text, "the first signal is lost", cause="not_lost")
    program.send_signal(signal.SIGUSR1)
    program.expect_text("Got signal\n")
    program.expect_exit(0)


@check(points=0, read="the-race-before-select", causes=WAKE_UPS)
def test_selsig_race_loses_it_up_to_select(lab: Lab) -> None:
    """A signal that comes when select has begun ends it. One that comes before is lost, however late."""
    for point in range(MOST_POINTS):
        with step("selsig_race is held", quiet=True) as current:
            program, where = signal_at(lab, "selsig_race", point)
            found = where == ASLEEP or "select" in where
            current.text = f"SIGUSR1 comes {where}, and is {'told' if found else 'lost'}"
            program.expect_text('Wake up and block in "select"\n')
            if found:
                program.expect_text("Got signal\n")
                program.expect_exit(0)
            else:
                wait_until(lambda: program.status() is not None or sleeps(program), "it ends, or sleeps")
                expect(program.status() is None, "the signal is lost", cause="not_lost")
                program.send_signal(signal.SIGKILL)
        if where == ASLEEP:
            return


def why_silent(program: Program) -> str:
    where = kernel.waiting_in(program.pid)
    return (
        "drain_blocks"
        if "pipe_read" in where
        else "handler_blocks"
        if "pipe_write" in where
        else "signal_lost"
    )


def silent_in_the_gap(program: Program) -> None:
    before = program.stdout.text.partition("Wake")[0]
    expect(
        "Got" not in before,
        "nothing is printed by the handler",
        otherwise=repr(before),
        cause="handler_works",
    )


def catches_a_signal_in_the_gap(lab: Lab, name: str) -> None:
    program = in_the_gap(lab, name, one_signal)
    silent_in_the_gap(program)
    program.expect_text('Wake up and block in "select"\n')
    program.expect_text("Got signal\n", cause=lambda: why_silent(program))
    program.expect_exit(0)


def signal_at(lab: Lab, name: str, point: int) -> tuple[Program, str]:
    """Sends SIGUSR1 at one point of the way from the gap to select's sleep: 0 is in the gap, and each begin
    and end of a system call is one more. Returns the program and the point, ASLEEP where it sleeps already.
    """
    for gap in (0.1, 1.0, 8.0):
        program = lab.start(name, "-d", str(gap))
        program.expect_text(f"PID: {shown_pid(program)}\nSleep for {gap:g} secs\n")
        with holding(program.pid) as held:
            if "Wake" not in program.stdout.text:
                where = "in the gap"
                for _ in range(point):
                    where = held.to_next_call() or ASLEEP
                os.kill(program.pid, signal.SIGUSR1)
                return program, where
        program.send_signal(signal.SIGKILL)
        wait_until(lambda: program.status() is not None, "it is out of the way")
    raise CouldNotTell("the program was out of the gap before it could be held")


def catches_a_signal_at_every_point(lab: Lab, name: str) -> None:
    """From the gap to select's sleep, and from one news to the next: one run for each system call between."""
    for point in range(MOST_POINTS):
        with step(f"{name} is held", quiet=True) as current:
            program, where = signal_at(lab, name, point)
            current.text = f"SIGUSR1 comes {where}, and it is told"
            program.expect_text('Wake up and block in "select"\n')
            program.expect_text("Got signal\n", cause=lambda: why_silent(program))
            program.expect_exit(0)
        if where == ASLEEP:
            break
    for point in range(1, MOST_POINTS):
        with step(f"{name} -r 2 is held", quiet=True) as current:
            program = lab.start(name, "-r", "2")
            program.expect_text(f"PID: {shown_pid(program)}\n")
            program.expect_at_rest()
            with holding(program.pid) as held:
                os.kill(program.pid, signal.SIGUSR1)
                for _ in range(point):
                    where = held.to_next_call() or ASLEEP
                told = "Got signal" in program.stdout.text or where in (ASLEEP, "before write(1)")
                os.kill(program.pid, signal.SIGUSR1)
            current.text = f"after one SIGUSR1 another comes {where}"
            program.expect_text("Got signal\n", cause=lambda: why_silent(program))
            if not told:  # the two may be one piece of news
                wait_until(
                    lambda: program.status() is not None or sleeps(program), "it ends, or waits for the next"
                )
                if program.status() is None:
                    program.send_signal(signal.SIGUSR1)
            program.expect_text("Got signal\n", cause=lambda: why_silent(program))
            program.expect_exit(0)
        if where == ASLEEP:
            return
    raise CouldNotTell(f"{name} makes more than {MOST_POINTS} system calls for a signal")


def sleeps(program: Program) -> bool:
    """Whether it sleeps in a call that nothing but a signal ends, and has handled all that came."""
    pending = kernel.signals(program.pid, "pending") - kernel.signals(program.pid, "blocked")
    return not pending and kernel.state(program.pid) == "S" and waits_for_ever(program.pid, program.pid)


def catches_a_signal_in_select(lab: Lab, name: str) -> None:
    program = lab.start(name)
    program.expect_text(f"PID: {shown_pid(program)}\n")
    program.expect_at_rest()
    program.send_signal(signal.SIGUSR1)
    program.expect_text("Got signal\n", cause=lambda: why_silent(program))
    program.expect_exit(0)
    told = program.stdout.text.count("Got signal")
    expect(told == 1, "one signal is told once", otherwise=f"{told} times", cause="handler_works")


@check(points=2, read="the-self-pipe", causes=WAKE_UPS)
def test_self_pipe_gets_a_signal(lab: Lab) -> None:
    """The handler writes a byte, and select sees it: now the signal is a byte that can be read."""
    catches_a_signal_in_select(lab, "self_pipe")
    with step("SIGUSR1 comes as soon as there is a handler for it"):
        program = lab.start("self_pipe", faults={"early": 1})
    program.expect_text(f"PID: {shown_pid(program)}\nGot signal\n", cause="no_pipe_yet")
    program.expect_exit(0)
    the_pid_is_told_behind_the_handler(lab, "self_pipe")


def the_pid_is_told_behind_the_handler(lab: Lab, name: str) -> None:
    """Its stdout is a pipe that is full, so it stands still where it prints its first line."""
    full = '(dd if=/dev/zero bs=4096 count=16 2> /dev/null; exec "$0") | sleep 3600'
    shell = lab.start(name, "-c", full, str(lab.require(name)), path=Path("/bin/sh"))

    def printing() -> list[int]:
        found = [pid for pid in kernel.family(shell.pid) if kernel.command(pid).startswith(name)]
        return [pid for pid in found if "pipe_write" in kernel.waiting_in(pid)]

    with step(f"{name} is about to print its PID, and its stdout is full"):
        if not poll(printing, deadline()):
            raise CouldNotTell("the program does not wait for room in its stdout")
    caught = kernel.signals(printing()[0], "caught")
    there = signal.SIGUSR1 in caught
    expect(there, "its handler is there", otherwise="there is none", cause="no_handler_yet")
    shell.send_signal(signal.SIGKILL, children=True)


@check(points=2, read="the-self-pipe", causes=WAKE_UPS, slow=True)
def test_self_pipe_loses_no_signal_in_the_gap(lab: Lab) -> None:
    """A byte in the pipe is still there when select begins: that is what closes the gap. The signal comes
    before and after each system call, one run each.
    """
    catches_a_signal_in_the_gap(lab, "self_pipe")
    catches_a_signal_at_every_point(lab, "self_pipe")
    is_woken_by_its_pipe(lab)  # a flag, too, can be looked at: between that and select there is no call


def own_pipe(program: Program) -> list[int]:
    """The two ends of the program's pipe, as it sleeps."""
    program.expect_at_rest()
    pipe = {
        number: what
        for number, what in program.descriptors().items()
        if number > 2 and what.startswith("pipe:")
    }
    expect(len(pipe) == 2 and len(set(pipe.values())) == 1, "it has a pipe of its own", otherwise=str(pipe))
    return list(pipe)


def is_woken_by_its_pipe(lab: Lab) -> None:
    """By the kernel's account: a signal leads to a write to the pipe that select watches, and to a read."""
    program = lab.start("self_pipe", "-r", "2")
    shown_pid(program)
    pipe = own_pipe(program)
    watched = selected(program.pid)
    expect(
        len(watched & set(pipe)) == 1,
        "select waits for the pipe",
        otherwise=f"the pipe is {pipe}, and it waits for {sorted(watched)}",
        cause="signal_lost",
    )
    calls = set()
    with step("SIGUSR1 comes, and it is held at each of its calls", quiet=True), holding(program.pid) as held:
        os.kill(program.pid, signal.SIGUSR1)
        for _ in range(MOST_POINTS):
            if (where := held.to_next_call()) is None:
                break
            calls.add(where)
    expect(
        all(any(f"before {call}({number})" in calls for number in pipe) for call in ("write", "read")),
        "the handler writes to the pipe, and the loop reads from it",
        otherwise=f"there is {', '.join(sorted(calls))}",
        cause="signal_lost",
    )


@check(points=2, read="the-self-pipe", causes=WAKE_UPS)
def test_self_pipe_can_block_at_neither_end(lab: Lab) -> None:
    """A write that waits would stop the handler in a storm, a read that waits would stop the loop after the
    last byte.
    """
    program = lab.start("self_pipe")
    shown_pid(program)
    pipe = own_pipe(program)
    blocking = [number for number in pipe if not kernel.nonblocking(program.pid, number)]
    expect(
        not blocking,
        "both ends are non-blocking",
        otherwise=f"descriptor {blocking} may wait",
        cause="may_block",
    )
    is_woken_by_its_pipe(lab)


@check(points=2, read="storms", causes=WAKE_UPS)
def test_the_handler_keeps_errno(lab: Lab) -> None:
    """A handler may come between a call that fails and the line that reads errno; here it does, and finds the
    pipe full.
    """
    with step("in select, SIGUSR1 comes 5000 times"):
        program = lab.start("self_pipe", faults={"select": 5000})
    refused = os.strerror(errno.EAGAIN)
    program.expect_exit(
        0, cause=lambda: "errno_lost" if refused in program.stderr.text else why_silent(program)
    )
    program.expect_text(f"PID: {shown_pid(program)}\nGot signal\n")


@check(points=2, read="storms", causes=WAKE_UPS)
def test_self_pipe_is_drained(lab: Lab) -> None:
    """Four thousand signals wake select once. Then the pipe is empty, and select waits again."""
    with step("in the first select, SIGUSR1 comes 4000 times"):
        program = lab.start("self_pipe", "-r", "2", faults={"select": 4000})
    program.expect_text(f"PID: {shown_pid(program)}\nGot signal\n", cause=lambda: why_silent(program))
    program.goes_on_until(lambda: kernel.at_rest(program.pid), "it waits for another signal", "not_drained")
    program.send_signal(signal.SIGUSR1)
    program.expect_text("Got signal\n", cause="signal_lost")
    program.expect_exit(0)


@check(points=2, read="storms", causes=WAKE_UPS, slow=True)
def test_self_pipe_survives_a_storm(lab: Lab) -> None:
    """Ten thousand signals fill the pipe. The handler still returns, and the last signal is not missed."""
    program = in_the_gap(lab, "self_pipe", storm(10_000), wide=1.0)
    program.expect_text('Wake up and block in "select"\nGot signal\n', cause="signal_lost")
    program.expect_exit(0)


@check(points=0, read="pselect-and-signalfd", causes=WAKE_UPS)
def test_pselect_wait_loses_no_signal(lab: Lab) -> None:
    """A blocked signal waits, pending, until pselect lets it in."""
    catches_a_signal_in_select(lab, "pselect_wait")
    catches_a_signal_in_the_gap(lab, "pselect_wait")
    catches_a_signal_at_every_point(lab, "pselect_wait")


@check(points=0, read="pselect-and-signalfd", causes=WAKE_UPS)
def test_signalfd_wait_loses_no_signal(lab: Lab) -> None:
    """A blocked signal can be read from a descriptor, and select can watch this descriptor."""
    catches_a_signal_in_select(lab, "signalfd_wait")
    catches_a_signal_in_the_gap(lab, "signalfd_wait")
    catches_a_signal_at_every_point(lab, "signalfd_wait")


@check(points=0, read="storms", causes=WAKE_UPS, hidden=True)
def test_pending_signals_are_one(lab: Lab) -> None:
    """Ten thousand signals that come while the signal is blocked are pending as one. The next round has to
    wait again."""

    def ten_thousand(program: Program) -> None:
        with step("SIGUSR1 comes 10000 times"), contextlib.suppress(ProcessLookupError):
            for _ in range(10_000):
                os.kill(program.pid, signal.SIGUSR1)

    for name in ("pselect_wait", "signalfd_wait"):
        program = in_the_gap(lab, name, ten_thousand, rounds=2)
        out_of_the_gap(program, times=2)
        program.expect_match(r"(?s)Wake .*Got signal\n.*Wake .*\n\Z", cause="signal_lost")
        program.expect_at_rest()
        expect(program.stdout.text.count("Got signal") == 1, "it waits for another signal")
        program.send_signal(signal.SIGUSR1)
        program.expect_match(r"(?s)(Got signal\n.*){2}\Z", cause="signal_lost")
        program.expect_exit(0)


# --- files


def directory(lab: Lab, name: str = "directory") -> Path:
    """Makes the directory that is served, with a secret beside it."""
    path = lab.given / name
    (path / "inner").mkdir(parents=True)
    lab.file("secret", b"not for you\n")
    (path / "plain").write_bytes(b"plain\n")
    (path / "inner" / "deep").write_bytes(b"deep\n")
    return path


def is_answered(
    server: Server, name: bytes, answer: bytes, cause: str | None = None, more: str = "beyond_the_size"
) -> None:
    """A client asks for the file and gets exactly the answer, and then the end."""
    client = server.connect(f"who wants {name[:20].decode('latin-1')!r}")
    client.send(name + b"\n")
    client.expect(answer, cause=cause)
    client.expect_eof(cause=more)
    client.close()


def is_refused(server: Server, name: bytes, cause: Cause = None, reason: bytes = rb"[^\n]+") -> None:
    client = server.connect(f"who wants {name[:20].decode('latin-1')!r}")
    client.send(name + b"\n")
    client.expect_match(rb"Error: " + reason + rb"\n\Z", cause=cause)
    client.expect_eof()
    client.close()


def files_arrive(lab: Lab, program: str) -> None:
    where = directory(lab)
    server = lab.server(program, str(where))
    server.expect_private()
    lab.server(program, "-a", ANOTHER_ADDRESS, str(where)).stop()
    for size in (0, 1, 65535, 65536, 65537, 1_000_003):
        content = lab.random.randbytes(size)
        (where / "file").write_bytes(content)
        is_answered(server, b"file", b"OK %d\n" % size + content, cause="not_everything", more="wrong_bytes")
    is_answered(server, b"inner/deep", b"OK 5\ndeep\n")
    (where / "file").write_bytes(content[:200_000])
    bob = server.connect("bob", receive_buffer=4096)  # what he has not read yet waits in the server's kernel
    bob.send(b"file\n")
    bob.expect_read()
    bob.send(b"and more than that\n")
    bob.half_close()
    server.expect_logged("disconnected", bob)
    bob.expect(b"OK 200000\n" + content[:200_000], cause="end_lost")
    server.stop()


@check(points=2, read="the-copy-loop", causes=FILES)
def test_files_arrive_byte_for_byte_by_copy(lab: Lab) -> None:
    """A file of any size arrives as it is, none included: `OK SIZE` first, so many bytes, then the end."""
    files_arrive(lab, COPY)


@check(points=2, read="sendfile", causes=FILES)
def test_files_arrive_byte_for_byte_by_sendfile(lab: Lab) -> None:
    """A file of any size arrives as it is, none included: `OK SIZE` first, so many bytes, then the end."""
    files_arrive(lab, SENDFILE)


@check(points=2, read="sendfile", causes=FILES)
def test_a_sendfile_that_takes_little_is_repeated(lab: Lab) -> None:
    """sendfile returns how much it took, as send does. Here it takes 1000 bytes a call."""
    content = lab.random.randbytes(50_000)
    where = directory(lab)
    (where / "file").write_bytes(content)
    server = lab.server(SENDFILE, str(where), faults={"sendfile": 1000})
    is_answered(server, b"file", b"OK 50000\n" + content, cause="not_everything")
    large = content * 400
    (where / "large").write_bytes(large)
    ann = reply_ends_early(lab.server(SENDFILE, str(where)), b"large\n")
    ann.expect(b"OK %d\n" % len(large) + large, cause="not_everything")


@check(points=3, read="outside-the-directory", causes=DIRECTORY)
def test_nothing_outside_the_directory_is_served(lab: Lab) -> None:
    """`..`, a path from the root and links that lead out are all names of the same secret."""
    where = directory(lab)
    (where / "link").symlink_to("../secret")
    (where / "absolute").symlink_to(lab.given / "secret")
    (where / "up").symlink_to("..")
    (lab.given / "directory2").mkdir()
    lab.file("directory2/secret", b"not for you\n")
    server = lab.server(COPY, str(where))
    for name in (
        "../secret",
        "inner/../../secret",
        str(lab.given / "secret"),
        "/etc/passwd",
        "../directory2/secret",
    ):
        is_refused(server, name.encode(), cause="not_beneath")
    for name in ("link", "absolute", "up/secret", "up/directory/../secret"):
        is_refused(server, name.encode(), cause="text_was_tested")
    # The directory has a file of this name: a server that takes the directory for the root serves it.
    for name in ("../plain", "/plain", "inner/../../plain"):
        is_refused(server, name.encode(), cause="bent_back", reason=b"outside the directory")
    is_answered(server, b"plain", b"OK 6\nplain\n")


@check(points=2, read="outside-the-directory", causes=DIRECTORY)
def test_all_inside_the_directory_is_served(lab: Lab) -> None:
    """A path may go up and a link may lead elsewhere, as long as both stay within the directory."""
    where = directory(lab)
    (where / "link").symlink_to("inner/deep")
    for name in ("two..dots", "..dots", "dots.."):
        (where / name).write_bytes(b"dots\n")
    server = lab.server(COPY, str(where))
    is_answered(server, b"./inner/../plain", b"OK 6\nplain\n", cause="too_strict")
    is_answered(server, b"link", b"OK 5\ndeep\n", cause="too_strict")
    # Another file system is there.
    is_answered(lab.server(COPY, "/"), b"proc/version", b"OK 0\n", cause="too_strict")
    for dots in (b"two..dots", b"..dots", b"dots.."):
        is_answered(server, dots, b"OK 5\ndots\n", cause="too_strict")
    (where / "inner" / "most").mkdir()
    (where / "way").symlink_to("inner/most")
    is_answered(server, b"way/../deep", b"OK 5\ndeep\n", cause="name_rewritten")


@check(points=2, read="outside-the-directory", causes=DIRECTORY)
def test_what_is_no_regular_file_is_refused(lab: Lab) -> None:
    """A directory, a FIFO, a name that leads nowhere: each gets its client an answer, and delays no other."""
    where = directory(lab)
    os.mkfifo(where / "fifo")
    server = lab.server(COPY, str(where))
    for name, number in (
        (b"nothing", errno.ENOENT),
        (b"", errno.ENOENT),
        (b"plain/more", errno.ENOTDIR),
        (b"x" * 5000, errno.ENAMETOOLONG),
    ):
        is_refused(server, name, reason=os.strerror(number).encode(), cause={"bytes": "another_reason"})
    for name in (b"inner", b"."):
        is_refused(server, name, cause="not_regular")
    is_refused(server, b"nothing/../plain", cause="name_rewritten")
    is_refused(server, b"fifo", cause="fifo_waits")
    is_refused(server, b"plain\0.txt", cause="nul_in_name")
    for name in (b"plain\r", b"plain ", b" plain"):
        is_refused(server, name, cause="name_changed")
    is_answered(server, b"plain", b"OK 6\nplain\n")
    is_refused(lab.server(COPY, "/dev"), b"null", cause="not_regular")


@check(points=1, read="outside-the-directory", causes=DIRECTORY)
def test_the_other_server_refuses_the_same(lab: Lab) -> None:
    """Both file servers open by the same function: what one refuses, the other does."""
    where = directory(lab)
    (where / "link").symlink_to("../secret")
    server = lab.server(SENDFILE, str(where))
    for name in (b"../secret", b"link", b"inner", b"nothing"):
        is_refused(server, name, cause="not_beneath")
    is_refused(server, b"../plain", cause="bent_back")
    (where / " two words ").write_bytes(b"blanks\n")
    is_answered(server, b" two words ", b"OK 7\nblanks\n", cause="name_changed")


@check(points=1, read="three-gibibytes", causes=FILES, slow=True)
def test_more_than_two_gib_arrive_by_copy(lab: Lab) -> None:
    """A size above 2 GiB does not fit into an int, and such a file does not fit into memory."""
    a_large_file_arrives(lab, COPY)


@check(points=1, read="three-gibibytes", causes=FILES, slow=True)
def test_more_than_two_gib_arrive_by_sendfile(lab: Lab) -> None:
    """One call of sendfile moves at most 2 GiB, whatever it is asked for."""
    a_large_file_arrives(lab, SENDFILE)


def a_large_file_arrives(lab: Lab, program: str) -> None:
    if lab.box.tier < 4 or not os.access(IN_MEMORY, os.W_OK):  # a box has its files in memory
        return a_file_of_two_gib_arrives(lab, program, directory(lab))
    with temporary_directory("huge-", place=IN_MEMORY) as where:
        a_file_of_two_gib_arrives(lab, program, where)


def a_file_of_two_gib_arrives(lab: Lab, program: str, where: Path) -> None:
    size = (2 << 30) + (1 << 20)
    path = where / "huge"
    with path.open("wb") as file:  # sparse: it holds three marks, and takes as many blocks of the disk
        for at in (0, (1 << 31) - 3, size - 4):
            file.seek(at)
            file.write(b"mark")
    server = lab.server(program, str(path.parent))
    client = server.connect("ann")
    client.send(b"huge\n")
    client.expect(b"OK %d\n" % size, cause="size_overflows")

    def why() -> str:
        if server.memory() > 64 << 20:
            return "held_in_memory"
        return "not_everything" if client.came_of_file else "size_overflows"

    wait_until(lambda: kernel.at_rest(server.pid), "it waits until ann reads on", cause=why)
    held = server.memory()
    client.expect_file(path, cause=why)
    client.expect_eof()
    held = max(held, server.memory())
    expect(
        held < 64 << 20,
        "the server holds little of it",
        otherwise=f"it holds {held >> 20} MiB",
        cause="held_in_memory",
    )
    with path.open("wb") as file:
        file.truncate((4 << 30) + 1)  # in 32 bits it is one byte
    bob = server.connect("bob", receive_buffer=4096)
    bob.send(b"huge\n")
    bob.expect(b"OK %d\n" % ((4 << 30) + 1) + bytes(100_000), cause="size_overflows")
    bob.close()
    path.unlink()


def half_sent(lab: Lab, program: str) -> tuple[Server, Path, bytes]:
    """A server with a file that is larger than what the kernel buffers, and its content."""
    path = directory(lab, program) / "large"
    content = lab.random.randbytes(1 << 20) * 12 + b"the rest"  # no whole number of blocks
    path.write_bytes(content)
    return lab.server(program, str(path.parent)), path, content


def the_end_comes_too_early(lab: Lab, program: str) -> None:
    server, path, content = half_sent(lab, program)
    # First behind all that the kernel has room for, where no block ends. Then before the end of what was sent
    # already: the kernel may still have pages of the file to send, and clears what is cut off.
    for name, rest, sure in (("ann", len(content) - 1_000_003, len(content)), ("bob", 4096, 4096)):
        size = path.stat().st_size
        client = server.connect(name, receive_buffer=4096)
        client.send(b"large\n")
        client.expect(b"OK %d\n" % size)
        wait_until(lambda: kernel.at_rest(server.pid), f"the server waits until {name} reads")
        with step(f"the file is cut to {rest} bytes"):
            os.truncate(path, rest)
        got = client.read_to_eof(cause="waits_for_bytes")
        why = "error_in_the_file" if b"Error" in got[-100:] else "wrong_bytes"
        expect(content.startswith(got[:sure]), "what was sent is the file's", cause=why)
        expect(len(got) < size, f"the connection ends before SIZE bytes: so {name} learns of it")
    server.expect_idle(cause="waits_for_bytes")
    is_answered(server, b"plain", b"OK 6\nplain\n")


@check(points=1, read="files-that-change", causes=FILES)
def test_a_file_that_shrinks_ends_the_copy(lab: Lab) -> None:
    """The end of the file comes before SIZE bytes are sent. There is nothing more to wait for."""
    the_end_comes_too_early(lab, COPY)


@check(points=1, read="files-that-change", causes=FILES)
def test_a_file_that_shrinks_ends_sendfile(lab: Lab) -> None:
    """sendfile returns 0 at the end of the file, also where more was expected."""
    the_end_comes_too_early(lab, SENDFILE)


@check(points=1, read="files-that-change", causes=FILES)
def test_a_file_that_grows_is_sent_as_promised(lab: Lab) -> None:
    """SIZE was said before the first byte. The client would take more bytes for something else."""
    for program in (COPY, SENDFILE):
        server, path, content = half_sent(lab, program)
        ann = server.connect("ann", receive_buffer=4096)
        ann.send(b"large\n")
        ann.expect(b"OK %d\n" % len(content))
        wait_until(lambda: kernel.at_rest(server.pid), "the server waits until ann reads")
        with step("the file grows by 100 bytes"), path.open("ab") as file:
            file.write(b"+" * 100)
        got = ann.read_to_eof()
        expect(got == content, "ann gets SIZE bytes", cause="beyond_the_size")
        server.stop()


def said_or_dead(server: Server, line: str) -> bool:
    return line in server.stdout.text or server.status() is not None


def nothing_is_left_open(server: Server, before: int) -> None:
    wait_until(
        lambda: server.all_descriptors() <= before,
        "no descriptor is left over",
        cause="descriptor_leaks",
        instead=lambda: f"{server.all_descriptors() - before} too many",
    )


def is_part(content: bytes, client: Peer) -> bool:
    """Whether what has come to the client begins the content, as far as it goes."""
    return content.startswith(client.received[client.taken :])


def a_leaver_is_survived(lab: Lab, program: str) -> None:
    server, path, content = half_sent(lab, program)
    (path.parent / "other").write_bytes(lab.random.randbytes(1 << 20) * 12)
    before = server.all_descriptors()
    early = server.connect("early", receive_buffer=4096)  # whom none of the others may end
    early.send(b"large\n")
    early.expect(b"OK %d\n" % len(content))
    for name in ("ann", "bob", "cat"):
        leaver = server.connect(name, receive_buffer=4096)
        leaver.send(b"other\n")
        leaver.expect_match(rb"OK \d+\n")
        wait_until(lambda: kernel.at_rest(server.pid), "the server waits for room")
        leaver.reset() if name == "bob" else leaver.close()
        last = f"disconnected 127.0.0.1:{leaver.local_port}\n"
        wait_until(partial(said_or_dead, server, last), "the connection ends")
    early.expect(content, cause=lambda: "killed_by_leaver" if is_part(content, early) else "one_buffer")
    early.expect_eof()
    early.close()
    is_answered(server, b"plain", b"OK 6\nplain\n")
    nothing_is_left_open(server, before)
    server.stop()


@check(points=2, read="a-client-that-leaves-half-way", causes=FILES)
def test_a_client_that_leaves_half_way_ends_nobody_else_by_copy(lab: Lab) -> None:
    """A client asks for a large file and leaves in the middle. That ends its connection, and no other."""
    a_leaver_is_survived(lab, COPY)


@check(points=3, read="a-client-that-leaves-half-way", causes=FILES | {"sigpipe": FILES["killed_by_leaver"]})
def test_a_client_that_leaves_half_way_ends_nobody_else_by_sendfile(lab: Lab) -> None:
    """sendfile to a client that has gone raises SIGPIPE, and it has no flag to prevent that."""
    a_leaver_is_survived(lab, SENDFILE)


@check(points=2, read="a-hundred-clients", causes=FILES)
def test_a_hundred_clients_get_their_files(lab: Lab) -> None:
    """A hundred clients ask and do not read; the next is served at once. Then each gets its file, whole."""
    for program in (COPY, SENDFILE):
        where = lab.given / program
        where.mkdir()
        contents = [lab.random.randbytes(200_000 + number) for number in range(4)]
        for number, content in enumerate(contents):
            (where / str(number)).write_bytes(content)
        server = lab.server(program, str(where))
        before = server.all_descriptors()
        clients = server.connect_all(*[f"client {number}" for number in range(100)])
        with step("each asks for a file", quiet=True):
            for number, client in enumerate(clients):
                client.send(b"%d\n" % (number % 4))
        silent = server.connect("silent")
        is_answered(server, b"0", b"OK 200000\n" + contents[0], cause="stalls_others")
        with step("each gets its file, byte for byte", quiet=True):
            for number, client in enumerate(clients):
                content = contents[number % 4]
                client.expect(b"OK %d\n" % len(content) + content, cause="not_everything")
                client.expect_eof()
                client.close()
        silent.close()
        for name in (b"nothing", b".", b"../x") * 5:
            is_refused(server, name)
        nothing_is_left_open(server, before)
        server.stop()


def short_or_dead(server: Server) -> bool:
    return shortage.REASON in server.stderr.text or server.status() is not None


def spins_or_is_silent(server: Server) -> str:
    return "spins_when_full" if kernel.cpu_share(server.pid) > 0.5 else "accept_failed_silently"


@check(points=1, read="a-hundred-clients", causes=FILES | shortage.CAUSES, slow=True)
def test_a_full_server_rests(lab: Lab) -> None:
    """accept fails while no descriptor is free, and the client waits in the backlog. The server logs this
    once, and goes on when a descriptor is free."""
    where = directory(lab)
    for program in (COPY, SENDFILE):
        server = lab.server(program, str(where))
        ann = server.connect("ann")
        ann.expect_accepted()
        with server.no_descriptor_left():
            bob, cat = server.connect_all("bob", "cat")
            wait_until(
                partial(short_or_dead, server),
                f"stderr says {shortage.REASON!r}",
                cause=partial(spins_or_is_silent, server),
            )
            server.expect_alive()
            cat.expect_waiting()
            server.expect_idle(cause="spins_when_full")
        for client in (bob, cat):
            client.expect_accepted(cause="never_again")
            client.send(b"plain\n")
            client.expect(b"OK 6\nplain\n", cause="never_again")
        ann.close()
        server.stop()
    for program in (COPY, SENDFILE):
        shortage.rests_when_accept_fails(lab, program, str(where), request=b"plain\n", reply=b"OK 6\nplain\n")


@check(points=2, read="the-copy-loop", causes=FILES, hidden=True)
def test_requests_that_are_none_do_no_harm(lab: Lab) -> None:
    """Half a line, a line without end, a client that sends nothing: each affects its own connection only."""
    where = directory(lab)
    for program in (COPY, SENDFILE):
        server = shortage.after_one_that_has_gone(lab, program, str(where))
        half = server.connect("half")
        half.send(b"plain")
        half.half_close()
        half.expect_eof()
        server.connect("visitor").close()
        endless = server.connect("endless")
        endless.send(b"x" * 70_000)
        endless.expect(b"Error: Line too long\n")
        endless.expect_eof()
        endless.close()
        is_answered(server, b"plain", b"OK 6\nplain\n")
        lab.run(program, "-p", "0", "nowhere").expect_status(1).expect_match(
            rf"^{program}: open: No such file or directory$", stream="stderr"
        )
        lab.run(program, "-p", "0").expect_status(2).expect_match(rf"^usage: {program} ", stream="stderr")
        server.stop(signal.SIGTERM)


# --- corks


@check(points=0, read="corks")
def test_cork_counts_segments(lab: Lab) -> None:
    """Ten small writes are ten segments, or two, or one: the sender's options decide. The kernel counts
    them."""
    run = lab.run("cork").expect_status()

    def row(name: str, at_once: float = 10_000) -> int:
        found = run.expect_match(rf"^{name} +(\d+) +([\d.]+) ms$")
        if int(found[1]) > 1 and float(found[2]) >= at_once:
            raise CouldNotTell(f"{name}: the writes took so long that the kernel has drawn the cork")
        return int(found[1])

    nagle, no_delay = row("nothing"), row("TCP_NODELAY")
    expect(no_delay == 10, "TCP_NODELAY: a segment for each write", otherwise=str(no_delay))
    expect(1 < nagle < no_delay, "nothing set: fewer, but more than one", otherwise=str(nagle))
    for name, patience in (("TCP_CORK", 200), ("MSG_MORE", 200), ("forgotten cork", 400)):
        expect(row(name, patience) == 1, f"{name}: one segment")


# --- sockets as streams


def typed(lab: Lab, faults: dict[str, int] | None = None) -> tuple[Program, Peer]:
    """A stream whose other side is the harness's, so that nothing of it can be known beforehand."""
    listener = lab.listen()
    port = str(listener.port)
    program = lab.start("stream_demo", "-p", port, "typed", stdin=True, faults=faults)
    return program, listener.accept("the other side", program, cause="nothing_read")


def tell(program: Program, line: str, told: str = ": good", cause: Cause = None) -> None:
    """Writes the line to the stream, flushes it (!), or reads a line (?), and gets what is told of that."""
    program.type(line + "\n")
    program.expect_text(told + "\n", cause=cause)


def word(lab: Lab, least: int, most: int) -> str:
    return "".join(lab.random.choices(string.ascii_letters, k=lab.random.randint(least, most)))


def held_back(peer: Peer) -> str:
    """Why what was flushed has not come: was it sent?"""
    return "reply_held_back" if peer.coming() else "never_flushed"


def nothing_more(program: Program, peer: Peer, cause: str) -> None:
    program.expect_at_rest()
    expect(not peer.unread(), "nothing else has left", otherwise=f"{len(peer.unread())} bytes", cause=cause)


def bytes_leave_when_they_are_flushed(lab: Lab) -> None:
    program, peer = typed(lab)
    for most in (100, 20_000, 100):
        small, much = word(lab, 1, 100), word(lab, most // 2, most)
        for text in (small, much):
            tell(program, text)
            nothing_more(program, peer, cause="early") if text is small else None
            tell(program, "!")
            peer.expect_prompt(cause=lambda: held_back(peer))
            peer.expect(text.encode(), cause={"answer": "never_flushed", "bytes": "wrong_length"})
            nothing_more(program, peer, cause="wrong_length")
    last = word(lab, 1, 100)
    tell(program, last)
    nothing_more(program, peer, cause="early")
    program.end_input()
    peer.expect(last.encode(), cause="never_flushed")
    peer.expect_eof()
    program.expect_exit(0)


def a_line_each_way(lab: Lab, faults: dict[str, int] | None = None) -> None:
    program, peer = typed(lab, faults)
    for most in (20, 9_000, 20):
        ours, theirs = word(lab, 10, most), word(lab, 10, most)
        tell(program, ours)
        tell(program, "!")
        peer.expect(ours.encode(), cause={"answer": "never_flushed"})
        peer.send(theirs.encode() + b"\n" + ours.encode() + b"\n")
        tell(program, "?", theirs + ": good", cause="nothing_read")
        tell(program, "!")
        tell(program, "?", ours + ": good", cause="input_dropped")
    program.end_input()
    peer.expect_eof()
    program.expect_exit(0)


def any_byte_can_be_read(lab: Lab) -> None:
    program, peer = typed(lab)
    values = [value for value in range(256) if value != ord("\n")]
    for _ in range(3):
        line = bytes(lab.random.sample(values, len(values))) * lab.random.randint(1, 40)
        peer.send(b"\xff" + line + b"\n")
        program.type("?\n")
        wanted = b"\xff" + line + b": good\n"
        begin = program.stdout.taken
        with step("the line is read and printed, byte for byte") as current:
            poll(lambda: len(program.stdout.data) - begin >= len(wanted), deadline())
            got = program.stdout.data[begin:]
            if got != wanted:
                raise Failed(
                    "other bytes", rung="bytes", cause="byte_is_eof", details=difference(wanted, got)
                )
            program.stdout.taken += len(wanted)
            current.outcome = "seen"
    program.end_input()
    peer.expect_eof()
    program.expect_exit(0)


def the_states_of_a_connection(lab: Lab) -> None:
    program, peer = typed(lab)
    whole, half = word(lab, 1, 50), word(lab, 1, 50)
    peer.send(f"{whole}\n{half}".encode())
    peer.half_close()
    for told in (f"{whole}: good", f"{half}: eof", ": eof fail"):
        tell(program, "?", told, cause="nothing_read")
    for _ in range(lab.random.randint(1, 3)):
        program, peer = typed(lab)
        peer.send(whole.encode() + b"\n")
        tell(program, "?", f"{whole}: good", cause="nothing_read")
        peer.reset()
        tell(program, "?", ": fail bad", cause="error_is_eof")
        tell(program, half)
        tell(program, "!", ": fail bad", cause="never_flushed")


@check(points=3, read="when-bytes-leave", causes=STREAMS)
def test_a_stream_sends_when_it_is_flushed(lab: Lab) -> None:
    """What is written waits for std::flush, std::endl, a full buffer or the end; then it leaves once, and
    whole.
    """
    run = lab.run("stream_demo", "flush")
    # Overflow calls itself.
    run.expect_status(0, cause="never_flushed" if run.status == -signal.SIGSEGV else None)
    arrived = [int(number) for number in re.findall(rb": (\d+) bytes have arrived", run.stdout)]
    expect(len(arrived) == 6, "six counts are printed")
    written, flushed, more, ended, late, closed = arrived
    expect(written == 0, "five bytes wait in the buffer", cause="early")
    expect(flushed != 0, "std::flush sends", otherwise="nothing arrived", cause="never_flushed")
    expect(flushed == 5, "the five bytes, and only those", otherwise=f"{flushed} bytes", cause="wrong_length")
    expect(
        5 <= more <= 10_005,
        "a full buffer leaves by itself",
        otherwise=f"{more} bytes arrived",
        cause="sent_twice",
    )
    expect(
        ended == 10_006,
        "std::endl sends the rest",
        otherwise=f"{ended} bytes",
        cause="sent_twice" if ended > 10_006 else "byte_lost",
    )
    expect(late == ended, "seven more wait again", otherwise=f"{late} bytes", cause="early")
    expect(
        closed == 10_013,
        "the end of the stream sends them",
        otherwise=f"{closed} bytes",
        cause="never_flushed",
    )
    bytes_leave_when_they_are_flushed(lab)


@check(points=3, read="a-socket-as-a-stream", causes=STREAMS)
def test_binary_bytes_pass_a_stream_unchanged(lab: Lab) -> None:
    """A stream is no text: each of the 256 values passes, 0 and 255 included."""
    every = bytes(range(256))
    copied(lab, every)
    copied(lab, every * 40 + lab.random.randbytes(3_000_000))
    copied(lab, b"")
    any_byte_can_be_read(lab)


def copied(lab: Lab, data: bytes) -> None:
    run = lab.run("stream_demo", "copy", input=data).expect_status()

    def cause() -> str:
        if not run.stdout:
            return "nothing_read"
        if data.startswith(run.stdout):
            return "byte_is_eof"
        return why_other_bytes(data, run.stdout)

    run.expect_output(data, cause=cause)


def why_other_bytes(wanted: bytes, got: bytes) -> str:
    if sorted(got) == sorted(wanted):
        return "overtaken"
    return "byte_lost" if len(got) < len(wanted) else "sent_twice"


@check(points=3, read="a-socket-as-a-stream", causes=STREAMS)
def test_lines_go_both_ways(lab: Lab) -> None:
    """std::getline and << std::endl over one socket, in turn: each line leaves when it is ended."""
    words = b"hello\n\n" + b"a line longer than the buffer " * 500 + b"\nlast\n"
    answers = b"".join(b"%d bytes: %s\n" % (len(line), line) for line in words.splitlines())
    run = lab.run("stream_demo", "lines", input=words)
    expect(
        run.status == 0,
        "each line is answered",
        otherwise=run.stderr.decode(errors="replace").strip(),
        cause="nothing_read" if b"no answer" in run.stderr else None,
    )
    run.expect_output(answers, cause=lambda: why_other_bytes(answers, run.stdout))
    a_line_each_way(lab)


@check(points=2, read="objects", causes=STREAMS)
def test_an_object_passes_by_the_operators(lab: Lab) -> None:
    """Operators that were written for any stream carry an object of 200 000 numbers over a socket."""
    for name, values in ((b"room 7", [21, -22, 0]), (b'with "quotes" \\', list(range(-100_000, 100_000)))):
        quoted = b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
        text = quoted + b" %d " % len(values) + b" ".join(b"%d" % value for value in values) + b"\n"
        lab.run("stream_demo", "object", input=text).expect_status().expect_output(text)
    a_line_each_way(lab)


@check(points=3, read="end-of-file-and-errors", causes=STREAMS)
def test_end_of_file_and_errors_are_states(lab: Lab) -> None:
    """eof for the other side's end, bad for an error of the socket: a reader has to be able to tell them
    apart.
    """
    run = lab.run("stream_demo", "states")
    if run.status == -signal.SIGPIPE:
        run.expect_status(0, cause="sigpipe_in_stream")
    run.expect_status(0)
    for what, state in (("a whole line", "good"), ("half a line", "eof"), ("nothing more", "eof fail")):
        run.expect_match(rf"^{what}: {state}$", cause="nothing_read")
    run.expect_match(r"^read after a reset: fail bad$", cause="error_is_eof")
    run.expect_match(r"^written after that: fail bad$", cause="never_flushed")
    the_states_of_a_connection(lab)


@check(points=2, read="when-bytes-leave", causes=STREAMS, hidden=True)
def test_a_stream_sends_all_of_it_by_small_sends(lab: Lab) -> None:
    """A send may take less than it is given. Here it takes 7 bytes."""
    data = lab.random.randbytes(20_000)
    lab.run("stream_demo", "copy", input=data, faults={"send": 7, "recv": 11}).expect_status().expect_output(
        data, cause="short_send"
    )
    a_line_each_way(lab, faults={"send": 7, "recv": 11})


# --- redirections

EXPECTED = {
    "1": r"server S got \[client C: {i}\]",
    "2": r"client C got \[server S: {i}\]",
    "3": r"client C got \[server S got \[client C: {i}\]\]",
    "4": r"server S got \[client C got \[server S: {i}\]\]",
    "5": r"server S got \[client C got \[server S: {i}\]\]",
}


def transcript(number: str) -> str:
    """A regular expression for what a demonstration prints: the same two processes throughout."""
    lines = "".join(EXPECTED[number].format(i=i) + r"\n" for i in range(3))
    for process, name in (("S", "server"), ("C", "client")):
        first, rest = lines.split(f"{name} {process}", 1)
        lines = (
            first
            + rf"{name} (?P<{process}>\d+)"
            + rest.replace(f"{name} {process}", rf"{name} (?P={process})")
        )
    return lines


@check(points=2, read="redirections")
def test_redirected_streams_converse(lab: Lab) -> None:
    """Programs that know only std::cin and std::cout talk over a socket, in five arrangements."""
    for number in EXPECTED:
        run = lab.run("stream_redirect", number).expect_status()
        run.expect_match(rf"\A{transcript(number)}\Z", stream="stderr" if number == "3" else "stdout")
    a_line_each_way(lab)


@check(points=0, read="redirections")
def test_redirections_race_with_nobody(lab: Lab) -> None:
    """The port listens before the fork: neither process can be too early. Two hundred runs of two hundred."""
    for number in EXPECTED:
        again = 'i=0; while [ $i -lt 40 ]; do "$0" "$1" 2>&1 || exit 1; i=$((i + 1)); done'
        program = lab.require("stream_redirect")
        run = lab.run(
            "stream_redirect", "-c", again, str(program), number, path=Path("/bin/sh")
        ).expect_status()
        found = re.findall(transcript(number), run.stdout.decode())
        expect(
            len(found) == 40,
            f"40 runs of demonstration {number} print what they should",
            otherwise=f"{len(found)} do",
        )


@check(points=1, read="the-deadlock", causes=REDIRECTIONS)
def test_unflushed_output_deadlocks(lab: Lab) -> None:
    """The question is in a buffer. The process that asks waits for the answer, and the process that should
    answer waits for the question."""
    program = lab.start("stream_redirect", "deadlock")
    program.expect_match(r"^client \d+: prints, does not flush", stream="stderr")

    def why() -> str:
        return "read_flushes" if "got [" in program.stderr.text else "no_deadlock"

    wait_until(lambda: len(program.children()) == 1, "there are two processes", cause=why)
    other = next(iter(program.children()))
    with step("a deadlock: both wait, connected, and nothing is under way"):
        for process in (program.pid, other):
            wait_until(
                partial(waits_for_nothing, process),
                f"process {process} waits for bytes, and none is on its way",
                cause=why,
            )
    expect("got [" not in program.stderr.text, "nothing was answered", cause="read_flushes")
    program.send_signal(signal.SIGINT)
    program.expect_exit(-signal.SIGINT)
    wait_until(lambda: kernel.state(other) in ("", "Z"), "the other process ends, too")
    a_read_flushes_nothing(lab)


def a_read_flushes_nothing(lab: Lab) -> None:
    program, peer = typed(lab)
    question, answer = word(lab, 1, 100), word(lab, 1, 100)
    tell(program, question)
    program.type("?\n")
    nothing_more(program, peer, cause="read_flushes")
    peer.send(answer.encode() + b"\n")
    program.expect_text(f"{answer}: good\n")
    tell(program, "!")
    peer.expect(question.encode())


def waits_for_nothing(process: int) -> bool:
    """It sleeps, and its connection is there and has no byte in either queue."""
    connections = [entry for entry in kernel.own_sockets(process, ("tcp",)) if entry.status == "ESTABLISHED"]
    quiet = len(connections) > 0 and all(entry.unread == 0 and entry.unsent == 0 for entry in connections)
    return quiet and kernel.at_rest(process)


# --- the capstone: a chat

PROMPT, BAD_NAME = b"* Your name?\n", b"* A name has 1 to 32 letters, digits, - or _. Your name?\n"
CHAT, TWIN = "chat_server", "chat_server_threads"
LINGERING = 2.0  # seconds that a connection is held at most behind its last words
SMALL = 536  # bytes in a segment; RFC 9293, 3.7.1


def joined(server: Server, name: str, *others: Peer, receive_buffer: int = 0) -> Peer:
    """A client that has given its name; the others have been told."""
    # Small segments: the kernel keeps little for a client that is slow.
    client = server.connect(name, receive_buffer=receive_buffer, segment=SMALL if receive_buffer else 0)
    client.expect(PROMPT)
    client.send(name.encode() + b"\n")
    client.expect(b"* Hello %b\n" % name.encode(), cause="name_refused")
    for other in others:
        other.expect(b"* %b has joined\n" % name.encode(), cause="not_announced")
    return client


def all_get(clients: Iterable[Peer], line: bytes, cause: str | None = None) -> None:
    for client in clients:
        client.expect(line + b"\n", cause=cause)


def names_are_given_once(lab: Lab, program: str) -> None:
    server = lab.server(program)
    server.expect_private()
    lab.server(program, "-a", ANOTHER_ADDRESS).stop()
    ann = joined(server, "ann")
    bob = server.connect("bob")
    bob.expect(PROMPT)
    bob.send(b"ann\n")
    bob.expect(b"* ann is taken. Your name?\n", cause="name_given_twice")
    for name in (b"", b"two words", b"x" * 33, b"*", b"a:b", "ä".encode(), b"a\x1bb", b"/who"):
        bob.send(name + b"\n")
        bob.expect(BAD_NAME, cause={"bytes": "name_breaks_protocol"})
    ann.send(b"not for bob yet\n")
    server.expect_at_rest()
    bob.send(b"bob\n")
    bob.expect(b"* Hello bob\n", cause="talk_before_name")
    ann.expect(b"* bob has joined\n", cause="not_announced")
    long = joined(server, "Z-_9" + "x" * 28, ann, bob)
    other = joined(server, "Ann", ann, bob, long)
    bob.close()
    all_get((ann, long, other), b"* bob has left", cause="not_announced")
    again = joined(server, "bob", ann, long, other)
    again.send(b"/who\n")
    again.expect_prompt()
    again.expect(b"* Here: Ann, Z-_9" + b"x" * 28 + b", ann, bob\n", cause={"bytes": "command_wrong"})


def all_others_get_what_one_says(lab: Lab, program: str) -> None:
    server = lab.server(program)
    ann = joined(server, "ann")
    bob = joined(server, "bob", ann)
    cat = joined(server, "cat", ann, bob)
    said, private = secret_word(), secret_word()
    ann.send(b"hello %b\n\n/who\n" % said)
    all_get((bob, cat), b"ann: hello " + said, cause="not_to_all")
    ann.expect(b"* Here: ann, bob, cat\n", cause={"bytes": "told_itself"})
    wrong = b"/msg zed hello\n/msg zed\n/msg cat\n/msg\n/msg  cat x\n/dance\n/who else\n/WHO\n/Quit\n"
    bob.send(b"/msg cat this is %b\n" % private + wrong + b"open\n")
    cat.expect(b"bob (private): this is %b\n" % private, cause="command_wrong")
    bob.expect(b"* No such name\n" + b"* Unknown command\n" * 3, cause="command_wrong")
    bob.expect_match(rb"\* (?:No such name|Unknown command)\n", cause="command_wrong")
    bob.expect(b"* Unknown command\n" * 4, cause="command_wrong")
    all_get((ann, cat), b"bob: open", cause="private_told")
    bob.send(b"/msg cat  two \n/msg cat  \n  open \n")
    cat.expect(b"bob (private):  two \nbob (private):  \n", cause="text_changed")
    all_get((ann, cat), b"bob:   open ", cause="text_changed")
    bob.send(b"/msg bob a note\n")
    bob.expect(b"bob (private): a note\n", cause="command_wrong")
    cat.send(b"/quit\nnot said any more\n")
    cat.expect(b"* Goodbye\n", cause="command_wrong")
    cat.expect_eof()
    for client in (ann, bob):
        client.expect(b"* cat has left\n", cause={"bytes": "heard_after_quit", "answer": "not_announced"})
    ann.send(b"/who\n")
    ann.expect(b"* Here: ann, bob\n", cause="not_announced")
    joined(server, "cat", ann, bob)  # her old connection is not closed yet: she has not closed it


def the_order_is_the_same_for_all(lab: Lab, program: str) -> None:
    server = lab.server(program)
    clients: list[Peer] = []
    for name in ("ann", "bob", "cat", "dan", "eve"):
        clients.append(joined(server, name, *clients))
    for round_ in range(12):
        with server.paused(), step(
            f"round {round_ + 1}: three of them speak at once, ten lines each", quiet=True
        ):
            for speaker in clients[:3]:
                for number in range(10):
                    speaker.send(b"%d\n" % number)
        heard = []
        for client in clients:
            count = 20 if client in clients[:3] else 30
            found = client.expect_match(rb"(?:\w+: \d\n){%d}" % count, cause="not_to_all")[0].splitlines()
            heard.append([line for line in found if line])
        full = heard[-1]
        for client, lines in zip(clients, heard, strict=True):
            own = client.name.encode() + b": "
            wanted = [line for line in full if not line.startswith(own)]
            expect(
                lines == wanted,
                f"{client.name} hears the others in eve's order",
                otherwise=f"{lines}",
                cause="orders_differ",
            )
        for speaker in clients[:3]:
            said = [line for line in full if line.startswith(speaker.name.encode())]
            expect(
                said == sorted(said),
                f"what {speaker.name} says keeps its order",
                otherwise=f"{said}",
                cause="orders_differ",
            )


def lines_are_put_together(lab: Lab, program: str) -> None:
    server = lab.server(program)
    ann = joined(server, "ann")
    bob = joined(server, "bob", ann)
    slow, one, two, three = (secret_word(4) for _ in range(4))
    for byte in slow + b"\n":
        bob.send(bytes([byte]))
        bob.expect_read()
    ann.expect(b"bob: " + slow + b"\n", cause="recv_taken_for_line")
    bob.send(one + b"\n" + two + b"\n" + three[:2])
    all_get((ann,), b"bob: %b\nbob: %b" % (one, two), cause="recv_taken_for_line")
    bob.send(three[2:] + b"\n" + b"x" * 1024 + b"\n")
    ann.expect(b"bob: " + three + b"\nbob: " + b"x" * 1024 + b"\n", cause="line_limit_wrong")
    bob.send(b"half a li")
    bob.half_close()
    bob.expect_eof()
    ann.expect(b"* bob has left\n", cause="half_line_said")
    for text in (b"good\n" + b"x" * 1025 + b"\nnever said\n", b"good\n" + b"x" * 200_000):
        cat = joined(server, "cat", ann)
        cat.send(text)
        ann.expect(b"cat: good\n* cat has left\n", cause="line_limit_wrong")
        cat.expect(b"* Line too long\n", cause="line_limit_wrong")
        cat.expect_eof(cause="reset_too_early")
        cat.close()
    nameless = server.connect("nameless")
    nameless.expect(PROMPT)
    nameless.send(b"x" * 1025)
    nameless.expect(b"* Line too long\n", cause="line_limit_wrong")
    nameless.expect_eof(cause="reset_too_early")


def nothing_breaks_the_protocol(lab: Lab, program: str) -> None:
    server = lab.server(program)
    ann = joined(server, "ann")
    bob = joined(server, "bob", ann)
    for byte in (0, 1, 9, 13, 27, 31, 127):
        bob.send(b"a" + bytes([byte]) + b"b\n")
        bob.expect(b"* Control byte refused\n", cause="control_byte_passes")
    for line in (b"/msg ann \x1b[2J", b"a\r", b"/who\r", b"\r"):
        bob.send(line + b"\n")
        bob.expect(b"* Control byte refused\n", cause="control_byte_passes")
    for text in ("grüße 你好".encode(), b"\xff\x80", b"* cat has joined", b"ann: mine", b" /who"):
        bob.send(text + b"\n")
        ann.expect(b"bob: " + text + b"\n", cause="control_byte_passes")


def a_late_reader_gets_all(lab: Lab, program: str) -> Callable[[], None]:
    """Returns a function to call later: it waits until the two clients that have left are gone."""
    # Each second send that has a limit of time takes nothing in it.
    server = lab.server(program, faults={"late": 2})
    bob = server.connect("bob")
    bob.expect(PROMPT, cause="send_gave_up")
    for said, answer in ((b"bob", b"* Hello bob"), (b"/who", b"* Here: bob"), (b"/who", b"* Here: bob")):
        bob.send(said + b"\n")
        bob.expect(answer + b"\n", cause="send_gave_up")
    cat = joined(server, "cat", bob)
    late = joined(server, "late", bob, cat, receive_buffer=16_384)
    lines = (b"bob: " + b"z" * 1000 + b"\n") * 8
    count = 0
    with step("bob speaks, until some of it waits in the server for late, who does not read", quiet=True):
        while count * len(lines) - late.coming() < 16_384:
            bob.send((b"z" * 1000 + b"\n") * 8)
            cat.expect(lines, cause={"bytes": "cut_off_too_early", "answer": "slow_reader_delays"})
            count += 1
    late.half_close()
    late.expect_read()
    late.expect(lines * count, cause="dropped_at_the_end")
    all_get((bob, cat), b"* late has left", cause="not_announced")
    late.expect_eof()
    chatty = joined(server, "chatty", bob, cat)
    deaf = joined(server, "deaf", bob, cat, chatty, receive_buffer=16_384)
    count, line = 0, b"bob (private): " + b"z" * 1000 + b"\n"
    with step("bob speaks to deaf, until some of that waits in the server", quiet=True):
        while count * len(line) - deaf.coming() < 52_000:
            bob.send((b"/msg deaf " + b"z" * 1000 + b"\n") * 4 + b"/who\n")
            bob.expect(b"* Here: bob, cat, chatty, deaf\n", cause={"bytes": "cut_off_too_early"})
            deaf.send_unread(b"\n")  # with what comes from it the kernel gives it more room
            count += 4
    for client in (deaf, chatty):
        client.send_unread(b"/quit\n")
        all_get((bob, cat), b"* %b has left" % client.name.encode(), cause="not_announced")

    def are_closed() -> bool:
        chatty.send_unread(b".")
        gone = [f"disconnected 127.0.0.1:{one.local_port}\n" in server.stdout.text for one in (deaf, chatty)]
        return all(gone) or server.status() is not None

    def are_gone() -> None:
        with allowing(2 * LINGERING), step("deaf does not read, and chatty goes on sending", quiet=True):
            wait_until(are_closed, "both connections are closed", cause="lingers_for_ever")
        server.stop()

    return are_gone


def a_slow_reader_is_cut_off(lab: Lab, program: str) -> None:
    server = lab.server(program)
    bob = joined(server, "bob")
    cat = joined(server, "cat", bob)
    late = joined(server, "late", bob, cat)
    slow = joined(server, "slow", bob, cat, late, receive_buffer=4096)
    with step("bob speaks; late has not read yet", quiet=True):
        for _ in range(30):
            bob.send(b"y" * 1000 + b"\n")
            cat.expect(b"bob: " + b"y" * 1000 + b"\n", cause="slow_reader_delays")
    late.expect((b"bob: " + b"y" * 1000 + b"\n") * 30, cause="cut_off_too_early")
    before = server.memory()
    cut, told = False, 30 * len(b"bob: " + b"y" * 1000 + b"\n")
    with step("bob speaks, late and cat read, slow does not, until slow has left", quiet=True):
        for number in range(2000):  # 24 MB: more than the kernel keeps for slow
            kept = told - slow.coming()
            if kept > 1 << 20:
                break
            bob.send((b"x" * 1000 + b"\n") * 12 + b"round %d\n" % number)
            for reader in (cat, late):
                text = reader.expect_match(rb".*?bob: round %d\n" % number, cause="slow_reader_delays")[0]
                text = (
                    text.replace(b"* slow has left\n", b"", 1)
                    if (left := b"* slow has left\n" in text)
                    else text
                )
                expect(
                    text.count(b"x") == 12_000,
                    f"{reader.name} gets every line",
                    otherwise="some are lost",
                    cause="not_to_all",
                )
            told += len(text)
            cut = cut or left
            if cut:
                break
    # With the twelve lines of this round, and what a send that waits has given to the kernel already, it is
    # less than 64 KiB.
    expect(
        not cut or kept >= 24_000,
        "much waits in the server for slow when it is cut off",
        otherwise=f"{kept} bytes, and the last 12 lines of 1000",
        cause="cut_off_too_early",
    )
    still = f"it is still there, and {kept >> 10} KiB have not left the server"
    held = server.memory()
    expect(
        cut,
        "slow is cut off, and the others are told",
        otherwise=still,
        cause="never_cut_off" if held > before + kept // 2 else "cut_off_untold",
    )
    expect(
        held < 64 << 20,
        "the server holds little for it",
        otherwise=f"{held >> 20} MiB",
        cause="never_cut_off",
    )
    wait_until(
        lambda: f"disconnected 127.0.0.1:{slow.local_port}\n" in server.stdout.text,
        "slow's connection ends",
        cause="never_cut_off",
    )
    for reader in (bob, cat, late):
        reader.close()
    server.expect_all_logged_gone()
    server.stop()
    those_who_have_left_are_gone = a_late_reader_gets_all(lab, program)
    who_leaves_cuts_off_another(lab, program)
    those_who_have_left_are_gone()


def who_leaves_cuts_off_another(lab: Lab, program: str) -> None:
    """Nearly 64 KiB wait for slow. Many leave at once, and slow is cut off by the lines that tell of it."""
    server = lab.server(program)
    bob = joined(server, "bob")
    slow = joined(server, "slow", bob, receive_buffer=4096)
    left = b"* slow has left\n"
    told = 0

    def speak(lines: int, most: int) -> bool:
        """Bob speaks until so many bytes wait for slow; returns whether slow is still there."""
        nonlocal told
        here = True
        while here and told - slow.coming() < most:
            bob.send((b"z" * 1000 + b"\n") * lines + b"/who\n")
            # So all of it was given to slow. What a send that waits has taken may still count for the server.
            here = left not in bob.expect_match(rb"(?:\* slow has left\n)?\* Here: [^\n]+\n")[0]
            told += lines * len(b"bob: " + b"z" * 1000 + b"\n")
        return here

    with step("bob speaks, until half of what may wait for slow does", quiet=True):
        speak(12, 30_000)
    crowd = server.crowd(200)
    names = [b"%032d" % number for number in range(len(crowd))]
    with step("each of them joins", quiet=True):
        for client, name in zip(crowd, names, strict=True):
            client.send(name + b"\n")
            client.expect_match(rb"\* Your name\?\n\* Hello %b\n" % name)
        bob.expect_match(rb"(?:\* \d+ has joined\n){%d}" % len(crowd), cause="not_announced")
    told += sum(len(b"* %b has joined\n" % name) for name in names)
    with step("bob speaks, until nearly all that may wait does", quiet=True):
        here = speak(1, 60_000)
    with server.paused(), step(f"all {len(crowd)} leave", quiet=True):
        for client in crowd:
            client.close()
    text = bob.expect_match(rb"(?:\* \w+ has left\n){%d}" % len(crowd), cause="not_announced")[0]
    gone = f"disconnected 127.0.0.1:{slow.local_port}\n"
    for _ in range(60 if here else 0):
        poll(lambda: gone in server.stdout.text or kernel.at_rest(server.pid), deadline())
        if gone in server.stdout.text:
            break
        bob.send(b"z" * 1000 + b"\n")
    what = "bob is told that slow has left"
    wait_until(lambda: not here or left in text + bob.unread(), what, cause="not_announced")


def silent_clients_are_told_the_limit(lab: Lab, program: str) -> None:
    server = lab.server(program, "-w", "0.7")
    bob = joined(server, "bob")
    cat = joined(server, "cat", bob)
    sent = [time.monotonic()]  # when bob and cat sent something
    try:
        who_is_silent_is_told(server, bob, cat, sent)
    except Failed:
        times = sent if len(sent) > 1 else [*sent, time.monotonic()]
        longest = max(later - earlier for earlier, later in itertools.pairwise(times))
        if any(b"* Idle too long" in one.unread() for one in (bob, cat)) and longest > 0.5:
            raise CouldNotTell("this machine was too busy for bob and cat to send a byte in time") from None
        raise


def who_is_silent_is_told(server: Server, bob: Peer, cat: Peer, sent: list[float]) -> None:
    ann = joined(server, "ann", bob, cat)
    nameless = server.connect("nameless")
    nameless.expect(PROMPT)
    # Half a line of bob's, for the most part: the limit is for bytes, and not for lines.
    pieces = itertools.cycle([b"x"] * 500 + [b"\n"])

    def ann_is_told() -> bool:
        bob.send_unread(next(pieces))
        cat.send_unread(b"y\n")
        sent.append(time.monotonic())
        return b"* Idle too long\n" in ann.unread()

    def why() -> str:
        return "hearing_counts" if b"* Idle too long\n" in nameless.unread() else "idle_limit_ignored"

    with step("ann and the nameless client are silent, bob sends bytes, and cat lines", quiet=True):
        wait_until(lambda: ann_is_told() or server.status() is not None, "ann is told", cause=why)
    bob.send_unread(b"\n/who\n")
    sent.append(time.monotonic())
    said = rb"(?:bob: x+\n|cat: y\n)*"
    ann.expect_match(said + rb"\* Idle too long\n", cause={"bytes": "active_client_ended"})
    ann.expect_eof()
    nameless.expect(b"* Idle too long\n", cause="idle_limit_ignored")
    nameless.expect_eof()
    left, here = rb"\* ann has left\n", rb"\* Here: (?:ann, )?bob, cat\n"
    bob.expect_match(
        said + rb"(?:" + left + said + here + rb"|" + here + said + left + rb")",
        cause="active_client_ended",
    )


def a_crowd_talks(lab: Lab, program: str, most: int) -> None:
    server = lab.server(program, raisable=256)
    before = server.all_descriptors()
    ann = joined(server, "ann")
    crowd = server.crowd(most)
    with step("each gives its name", quiet=True):
        for number, client in enumerate(crowd):
            client.send(b"c%d\n" % number)
        for number, client in enumerate(crowd):
            client.expect_match(rb"\* Your name\?\n\* Hello c%d\n" % number, cause="too_few_clients")
    ann.send(b"to all of you\n/who\n")
    with step("each hears ann", quiet=True):
        for client in crowd:
            client.expect_match(rb"(?:\* c\d+ has joined\n)*ann: to all of you\n", cause="not_to_all")
    names = ann.expect_match(rb".*?\* Here: ([^\n]+)\n", cause="not_announced")[1].split(b", ")
    expect(
        len(names) == len(crowd) + 1,
        "/who names them all",
        otherwise=f"{len(names)} names",
        cause="too_few_clients",
    )
    with step("all leave, fifty at a time, and ann is told", quiet=True):
        for first in range(0, len(crowd), 50):
            group = crowd[first : first + 50]
            for client in group:
                client.close()
            ann.expect_match(rb"(?:[^\n]*has left\n){%d}" % len(group), cause="not_announced")
    ann.close()
    nothing_is_left_open(server, before)


def rude_clients_concern_themselves(lab: Lab, program: str) -> None:
    server = shortage.after_one_that_has_gone(lab, program)
    ann = joined(server, "ann")
    for _ in range(3):
        server.connect("visitor").close()
        bob = joined(server, "bob", ann)
        bob.reset()
        ann.expect(b"* bob has left\n", cause="not_announced")
        cat = joined(server, "cat", ann)
        ann.send(b"hello\n")
        cat.send(b"x\n")
        ann.expect(b"cat: x\n")
        wait_until(lambda cat=cat: kernel.at_rest(server.pid), "the server rests")  # type: ignore[misc]
        cat.close()  # with a line unread: a reset
        ann.expect(b"* cat has left\n", cause="not_announced")
    dan = joined(server, "dan", ann)
    ann.send(b"still here\n")
    dan.expect(b"ann: still here\n")
    server.expect_asleep()
    port = server.port
    server.stop()
    ann = joined(lab.server(program, port=port), "ann")
    shortage.rests_when_accept_fails(lab, program, request=b"ann\n", reply=PROMPT + b"* Hello ann\n")
    server = lab.server(program, "-w", "3600", faults={"nth_accept": 2})
    joined(server, "ann")
    bob = server.connect("bob")
    with allowing(shortage.REST):
        bob.expect(PROMPT, cause={"accept": "never_again"})
    server = lab.server(program)
    cat = joined(server, "cat")

    def talk() -> None:
        cat.send(b"/who\n")
        cat.expect(b"* Here: cat\n")

    shortage.talk_does_not_prolong_it(server, talk)


@check(points=4, read="the-capstone", causes=TALK)
def test_a_name_is_given_once(lab: Lab) -> None:
    """Only the name tells who is speaking. So each client needs a name of its own, and a name must contain
    nothing else."""
    names_are_given_once(lab, CHAT)


@check(points=4, read="the-capstone", causes=TALK)
def test_what_one_says_all_others_get(lab: Lab) -> None:
    """A line goes to everybody else, a private one to one, and each command gets its answer."""
    all_others_get_what_one_says(lab, CHAT)


@check(points=4, read="the-capstone", causes=TALK)
def test_all_hear_in_the_same_order(lab: Lab) -> None:
    """If ann hears the answer before the question, it is not one conversation."""
    the_order_is_the_same_for_all(lab, CHAT)


@check(points=4, read="the-capstone", causes=TALK)
def test_the_chat_takes_lines_as_tcp_cuts_them(lab: Lab) -> None:
    """Lines come in pieces, several at a time, half at the end, and without an end."""
    lines_are_put_together(lab, CHAT)


@check(points=3, read="the-capstone", causes=TALK)
def test_no_text_breaks_the_protocol(lab: Lab) -> None:
    """A text may hold anything that a terminal shows. A control byte can move its cursor or forge a line."""
    nothing_breaks_the_protocol(lab, CHAT)


@check(points=5, read="the-capstone", causes=TALK, after="what_one_says_all_others_get")
def test_a_client_that_does_not_read_is_cut_off(lab: Lab) -> None:
    """The lines for a client that does not read need memory. At 64 KiB its connection is cut, and no other
    client waits for it."""
    a_slow_reader_is_cut_off(lab, CHAT)


@check(points=3, read="the-capstone", causes=TALK, after="what_one_says_all_others_get")
def test_a_silent_client_is_ended_by_the_limit(lab: Lab) -> None:
    """With -w SECONDS, a client that has sent nothing for so long gets a message, and its connection ends."""
    silent_clients_are_told_the_limit(lab, CHAT)


@check(points=4, read="the-capstone", causes=TALK, after="what_one_says_all_others_get")
def test_a_thousand_clients_chat(lab: Lab) -> None:
    """A thousand clients need a thousand descriptors, and each line has to be sent a thousand times."""
    a_crowd_talks(lab, CHAT, 1000)


@check(
    points=3,
    read="the-capstone",
    causes=TALK | shortage.CAUSES,
    after="what_one_says_all_others_get",
    slow=True,
)
def test_rude_clients_end_no_chat(lab: Lab) -> None:
    """A client leaves without a word, resets, or reads nothing. The others are told that it has left."""
    rude_clients_concern_themselves(lab, CHAT)


@check(points=2, read="the-twin", causes=TALK)
def test_the_twin_talks_as_the_chat_does(lab: Lab) -> None:
    """The same contract, served by another scheme: names, lines, commands, bytes."""
    names_are_given_once(lab, TWIN)
    all_others_get_what_one_says(lab, TWIN)
    lines_are_put_together(lab, TWIN)
    nothing_breaks_the_protocol(lab, TWIN)


@check(points=2, read="the-twin", causes=TALK, after="the_twin_talks_as_the_chat_does")
def test_the_twin_keeps_the_order(lab: Lab) -> None:
    """Two clients speak at once, and two threads or processes tell all others: in one order."""
    the_order_is_the_same_for_all(lab, TWIN)


@check(points=1, read="the-twin", causes=TALK, after="the_twin_talks_as_the_chat_does", slow=True)
def test_the_twin_bears_the_same_clients(lab: Lab) -> None:
    """A client that does not read, silent ones, a hundred of them."""
    a_slow_reader_is_cut_off(lab, TWIN)
    silent_clients_are_told_the_limit(lab, TWIN)
    a_crowd_talks(lab, TWIN, 100)


@check(
    points=1,
    read="the-twin",
    causes=TALK | shortage.CAUSES,
    after="the_twin_talks_as_the_chat_does",
    slow=True,
)
def test_rude_clients_end_no_twin(lab: Lab) -> None:
    """A client leaves without a word, or resets, or there is no descriptor for it."""
    rude_clients_concern_themselves(lab, TWIN)
