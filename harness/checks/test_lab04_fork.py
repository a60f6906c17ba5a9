"""What is true of lab04: a process for each client."""

import os
import re
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from labkit import Lab, Server, check, expect, kernel, shortage, show, step, stillness, wait_until
from labkit.client import Peer, converse
from labkit.counting import count_together
from labkit.default_ports import listens_by_default
from labkit import moments
from labkit.supervised import serves_without_standard_streams
from labkit.instructions import Held, holding
from labkit.services import DATE, DATED, LARGEST, counts_out_bytes, dated_anew
from labkit.steps import Cause, CouldNotTell
from labkit.waiting import deadline, poll

LARGEST_VALUE = (1 << 64) - 1
MOST_POINTS = 100  # begins and ends of system calls that a server needs for a client


COPIES = {
    "parent_keeps_copy": "The parent still holds its copy of the connection: it ends for the client when the "
    "last copy is closed.",
    "closed_too_soon": "A client is served until it sends no more (recv returns 0), and not for one chunk.",
    "child_keeps_listener": "A child does not accept: it should close its copy of the listening socket.",
}
CURED = {"cured": "This program is broken on purpose, and is no longer broken in its own way."}
REAPING = {
    "never_reaped": "The children are not reaped: each stays a zombie until its parent calls waitpid or "
    "ignores SIGCHLD.",
    "one_signal_one_death": "One SIGCHLD was taken for one death. Signals do not queue: reap in a loop.",
    "too_few_reaped": "One SIGCHLD may stand for any number of deaths, and only so many were reaped: go on "
    "until waitpid returns no child.",
    "stops_at_a_kill": "The loop ended at a child that was killed by a signal: waitpid returns its PID as "
    "that of any other.",
    "first_death_missed": "A child that exited at once stays a zombie: what reaps it has to be there before "
    "the first fork, wherever the server is at that moment.",
    "reaping_ends": "After a fork that failed the children are not reaped any more: SIGCHLD stays blocked, "
    "or has no handler.",
    "waits_for_the_living": "waitpid waited for a child that still has a client: with WNOHANG it returns at "
    "once.",
    "reason_invented": "The log gives the reason of another failure: the reason of this failure is in "
    "errno.",
    "errno_lost": "The handler came between a failed call and the line that reads errno, and left another "
    "value there.",
    "handler_gone": "SIGCHLD has no handler any more after the first child: it was installed for one signal "
    "(SA_RESETHAND), or taken back.",
    "descriptor_left_open": "The server has more descriptors than before its clients came: that of a client "
    "which has gone is still open.",
    "limited": "The server does not accept while it has many children: it has a limit, or waits for one of "
    "them.",
    "silence_ends": "The connections of silent clients have ended: there is no limit of time for a client. A "
    "listener's SO_RCVTIMEO holds for the connections that it accepts, too.",
    "child_goes_on": "A child that had served its client did not exit, but went on with the parent's loop.",
    "fork_unchecked": "fork returned -1, and the log does not say so: `PROGRAM: fork: REASON`.",
    "stop_blocked": "SIGTERM does not end the server any more after a fork that failed: it stays blocked.",
    "children_say_it_too": "A child inherits the parent's signal handlers: it should end without printing "
    "anything.",
}
PROGRAMS = {
    "not_executed": "The child did not execute the program: what does the server's log say?",
    "path_given_up": "The first file of that name in PATH cannot be executed, and the others were not tried: "
    "the shell looks further.",
    "arguments_lost": "The program did not get its arguments, the words behind its name on the command line.",
    "not_standard": "The connection should be descriptors 0, 1 and 2 of the program.",
    "program_does_not_wait": "The program cannot wait for its client: the connection is non-blocking, and "
    "all copies of its descriptor share that flag.",
    "arguments_changed": "An argument came in pieces, or changed: a shell was given it, and took it apart. "
    "exec takes each argument as it is.",
    "too_many_copies": "The program has more descriptors than 0, 1 and 2: close the other copies, or mark "
    "them close-on-exec.",
    "still_ignored": "A signal that is ignored stays ignored after exec: the program cannot wait for its own "
    "children (SIGCHLD), or goes on when its client has gone (SIGPIPE).",
    "still_blocked": "A signal that is blocked stays blocked after exec.",
    "reason_invented": REAPING["reason_invented"],
    "stays_after_exec": "exec failed, and the child neither says so nor ends: there are more reasons than a "
    "program that is not there.",
    "goes_on_after_exec": "exec failed, and the child went on with the parent's loop: it should end.",
    "exec_untold": "exec failed, and the log does not say why.",
    "told_the_client": "The error message went to descriptor 2, which is the client by now: keep a copy of "
    "the log's descriptor.",
}
MEMORY = {
    "own_copy": "The child swapped a copy of its own: memory that fork copies is not shared.",
    "two_winners": "Two processes made the same swap: the comparison and the store are not one atomic step.",
    "told_a_later_value": "The swap was not made, and the client was told the value that it had expected: "
    "return the value that the comparison has seen, and do not read again.",
    "lock_kept": "The child was killed while it held a lock, and the other processes wait for that lock for "
    "ever.",
    "half_a_number": "Only a part of the value is kept, or compared: it has 64 bits.",
    "not_swapped": "The swap is not made: the same client finds the old value again.",
}


def living(server: Server) -> list[int]:
    """The processes of the server beside itself that are not zombies: its children, or theirs (double
    fork)."""
    return [member for member, state in kernel.session(server.pid).items() if state != "Z"]


def zombies(server: Server) -> list[int]:
    return [child for child, state in server.children().items() if state == "Z"]


def sockets(pid: int) -> int:
    """How many sockets a process has."""
    return sum(name.startswith("socket:") for name in kernel.descriptors(pid).values())


def why_open(server: Server) -> str | None:
    """The likely cause of a connection that stays open."""
    return "parent_keeps_copy" if sockets(server.pid) > 1 else None


def one_child(server: Server, cause: str | None = None) -> int:
    """Waits until the server has exactly one living child; returns its PID."""
    wait_until(
        lambda: len(living(server)) == 1,
        "the server has one child",
        cause=cause,
        instead=lambda: f"{len(living(server))} children",
    )
    return living(server)[0]


# --- fork


@check(points=0, read="called-once-returns-twice")
def test_fork_returns_twice(lab: Lab) -> None:
    """fork is called once and returns in two processes: with the child's PID in the parent, with 0 in the
    child."""
    run = lab.run("fork_hello").expect_status()
    parent = run.expect_match(r"^fork\(\) exited in the parent process\nparent: pid (\d+) parent \d+$")[1]
    child = run.expect_match(rf"^fork\(\) exited in the child process\nchild: pid (\d+) parent {parent}$")[1]
    run.expect_match(rf"^PID = {child}\nHello world$")
    run.expect_match(r"^PID = 0\nHello world$")
    expect(run.stdout.count(b"Hello world") == 2, "each of them says hello once")


@check(points=0, read="orphans")
def test_an_orphan_gets_a_new_parent(lab: Lab) -> None:
    """A process always has a parent: if its parent ends first, process 1 or a nearer subreaper becomes its
    parent."""
    program = lab.start("fork_orphan")
    program.expect_exit()
    parent = program.expect_match(r"^parent: pid (\d+) parent \d+$")[1]
    new = program.expect_match(r"^child: pid \d+ parent (\d+)$")[1]
    expect(new != parent, "the child's parent is another one")


@check(points=0, read="signals")
def test_signals_do_not_queue(lab: Lab) -> None:
    """A standard signal is pending or not: ten SIGUSR1 for a stopped process are one. Real-time signals do
    queue."""
    program = lab.start("signal_demo", str(int(signal.SIGUSR1)))
    wait_until(lambda: signal.SIGUSR1 in kernel.signals(program.pid, "caught"), "SIGUSR1 has a handler")
    line = rf"Got signal {int(signal.SIGUSR1)} at {DATE.decode()}\n"
    program.send_signal(signal.SIGUSR1)
    program.expect_match(rf"\A{line}\Z")
    with program.paused():
        for _ in range(10):
            program.send_signal(signal.SIGUSR1)
    program.expect_match(rf"\A({line}){{2}}\Z")
    program.send_signal(signal.SIGUSR1)
    program.expect_match(rf"\A({line}){{3}}\Z")
    program.send_signal(signal.SIGKILL)
    program.expect_exit(-signal.SIGKILL)
    program = lab.start("signal_demo", str(int(signal.SIGRTMIN)))
    wait_until(lambda: signal.SIGRTMIN in kernel.signals(program.pid, "caught"), "SIGRTMIN has a handler")
    with program.paused():
        for _ in range(10):
            program.send_signal(signal.SIGRTMIN)
    program.expect_match(rf"\A(Got signal {int(signal.SIGRTMIN)} at {DATE.decode()}\n){{10}}\Z")


@check(points=0, read="signals")
def test_signal_demo_tells_sigchld_and_refuses_sigkill(lab: Lab) -> None:
    """SIGCHLD can be caught like any other signal. SIGKILL cannot: sigaction fails with EINVAL."""
    program = lab.start("signal_demo", str(int(signal.SIGCHLD)))
    wait_until(lambda: signal.SIGCHLD in kernel.signals(program.pid, "caught"), "SIGCHLD has a handler")
    program.send_signal(signal.SIGCHLD)
    program.expect_match(rf"\AGot signal {int(signal.SIGCHLD)} at {DATE.decode()}\nsigchld caught\n\Z")
    lab.run("signal_demo", "9").expect_status(1).expect_match(
        r"^signal_demo: sigaction: Invalid argument$", stream="stderr"
    )
    lab.run("signal_demo", "ten").expect_status(2).expect_match(
        r"^usage: signal_demo SIGNAL$", stream="stderr"
    )


# --- a child for each client


@check(
    points=5,
    read="a-child-for-each-client",
    causes=REAPING | COPIES,
    after="a_client_that_half_closes_sees_the_end",
)
def test_a_silent_client_makes_no_other_wait(lab: Lab) -> None:
    """Each client has a process of its own: a silent one blocks that process, and no other."""
    server = lab.server("upper_server")
    ann, bob = server.connect_all("ann", "bob")
    bob.send(b"me first\n")
    bob.expect(b"ME FIRST\n")
    wait_until(
        lambda: len(living(server)) == 2,
        "the server has a child for each",
        cause=lambda: "closed_too_soon" if "\ndisconnected" in server.stdout.text else None,
    )
    ann.send(b"me too\n")
    ann.expect(b"ME TOO\n")

    def why() -> str:
        limited = any(stillness.gives_up(one) for one in kernel.family(server.pid))
        return "silence_ends" if limited or len(living(server)) < 2 else "wakes_for_nothing"

    server.expect_asleep(cause=why)
    server.expect_patient(cause="silence_ends")
    expect(len(living(server)) == 2, "both clients still have their child", cause="silence_ends")


@check(points=6, read="copies-of-descriptors", causes=COPIES)
def test_a_client_that_half_closes_sees_the_end(lab: Lab) -> None:
    """The connection is open in two processes after fork. The client sees its end when both have closed
    it."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.send(b"first\n")
    ann.expect(b"FIRST\n")
    ended: Cause = {"closed": "closed_too_soon", "reset": "closed_too_soon"}
    for _ in range(3):
        ann.send(b"at once\n")
        ann.expect_prompt()
        ann.expect(b"AT ONCE\n", cause=ended)
    one_child(server, cause="no_child")
    ann.send(b"the last words\n")
    ann.half_close()
    ann.expect(b"THE LAST WORDS\n", cause=ended)
    ann.expect_eof(cause=lambda: why_open(server))


@check(points=6, read="copies-of-descriptors", causes=COPIES)
def test_each_process_keeps_only_what_it_needs(lab: Lab) -> None:
    """The parent needs the listening socket, the child its connection. Every other copy should be closed."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.send(b"hello\n")
    ann.expect(b"HELLO\n")
    child = one_child(server)
    wait_until(lambda: sockets(server.pid) == 1, "the parent holds one socket", cause="parent_keeps_copy")
    wait_until(
        lambda: sockets(child) == 1,
        "the child holds one socket",
        cause="child_keeps_listener",
        instead=lambda: f"it holds {sockets(child)}",
    )


@check(points=6, read="a-child-exits", causes=REAPING | COPIES)
def test_a_client_leaves_no_process_behind(lab: Lab) -> None:
    """A child exits when its client has gone. One that goes on with the loop accepts clients, too."""
    server = lab.server("upper_server")
    handled = signal.SIGCHLD in kernel.signals(server.pid, "caught")
    for name in ("ann", "bob", "cat"):
        client = server.connect(name)
        client.send(b"hello\n")
        client.expect(b"HELLO\n")
        server.expect_logged("connected", client)
        early = f"disconnected 127.0.0.1:{client.local_port}\n" in server.stdout.text
        expect(not early, "`disconnected` is not logged yet", cause="other_log", otherwise="it is")
        client.half_close()
        client.expect_eof(cause=lambda: why_open(server))
        server.expect_logged("disconnected", client)
    wait_until(
        lambda: not living(server),
        "every child has exited",
        cause="child_goes_on",
        instead=lambda: f"{len(living(server))} are left",
    )
    wait_until(
        lambda: not server.children(),
        "no zombie is left",
        cause=lambda: "never_reaped"
        if not handled or signal.SIGCHLD in kernel.signals(server.pid, "caught")
        else "handler_gone",
        instead=lambda: f"{len(server.children())} zombies",
    )


@check(
    points=2,
    read="a-child-for-each-client",
    causes=REAPING | COPIES,
    after="children_that_die_together_are_all_reaped",
)
def test_six_hundred_silent_clients_make_no_other_wait(lab: Lab) -> None:
    """Each of them has a child that waits. The server goes on to accept: it has no limit of its own."""
    server = lab.server("upper_server")
    silent = server.connect_all(*(f"client {number}" for number in range(1, 601)))
    zoe = server.connect("zoe")
    zoe.send(b"is there room for one more?\n")
    zoe.expect(b"IS THERE ROOM FOR ONE MORE?\n", cause={"accept": "limited"})
    wait_until(
        lambda: len(living(server)) == len(silent) + 1,
        "each of them has a child",
        cause=lambda: "silence_ends" if "\ndisconnected" in server.stdout.text else "limited",
        instead=lambda: f"{len(living(server))} children; "
        f"the log tells {server.stdout.text.count('disconnected')} ends",
    )
    with step("all of them leave while the server is paused", quiet=True), server.paused():
        for client in (*silent, zoe):
            client.close()
        wait_until(lambda: not living(server), "all children have exited")
    wait_until(
        lambda: not server.children(),
        "no child is left",
        cause="too_few_reaped",
        instead=lambda: f"{len(zombies(server))} zombies",
    )


def die_together(server: Server) -> None:
    """Lets five clients close while the server is paused: five children exit, and one SIGCHLD is pending.
    Then once more, and one of the children is killed."""
    for killed in (0, 1):
        clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
        wait_until(lambda: len(living(server)) == 5, "the server has a child for each")
        with server.paused():
            for child in sorted(living(server))[:killed]:
                server.kill_child(child)
            for client in clients:
                client.close()
            wait_until(lambda: not living(server), "all five have exited")
        some = "stops_at_a_kill" if killed else "one_signal_one_death"
        wait_until(
            lambda: not server.children(),
            "no child is left",
            cause=lambda: "never_reaped" if len(zombies(server)) == 5 and not killed else some,
            instead=lambda: f"{len(zombies(server))} zombies",
        )


@check(points=6, read="reaping", causes=REAPING)
def test_children_that_die_together_are_all_reaped(lab: Lab) -> None:
    """Signals do not queue: five children that exit while the server is stopped are one SIGCHLD."""
    die_together(lab.server("upper_server"))


def dies_at_every_point(server: Server, request: bytes, reply: bytes) -> None:
    """While the server takes a client, the child of another one is killed: at the beginning and at the end of
    each system call that this needs, one client each. Nobody notices, and no zombie is left. The very first
    child is killed, too.
    """
    with step("the server is held, and its first child dies as soon as it is there", quiet=True):
        with holding(server.pid) as held:
            zoe = server.connect("zoe")
            while not living(server) and held.to_next_call():
                continue
            for child in living(server):
                server.kill_child(child)
            wait_until(lambda: not living(server), "it has ended")
        wait_until(lambda: not zombies(server), "no zombie is left", cause="first_death_missed")
        zoe.close()
    for point in range(1, MOST_POINTS):
        with step("the server is held", quiet=True) as current:
            ann = server.connect("ann")
            ann.send(request)
            ann.expect_match(reply)
            wait_until(lambda: kernel.at_rest(server.pid), "the server waits for the next client")
            anns = living(server)
            with holding(server.pid) as held:
                bob = server.connect("bob")
                for _ in range(point):
                    where = held.to_next_call()
                for child in anns:
                    server.kill_child(child)
            current.text = f"ann's child dies {where or 'while the server sleeps'}, and bob is served"
            bob.send(request)
            bob.expect_match(reply)
            wait_until(lambda: not zombies(server), "no zombie is left", cause=partial(why_zombies, server))
            ann.close()
            bob.close()
            wait_until(lambda: not living(server), "bob's child has ended, too")
        if where is None:
            return
    raise CouldNotTell(f"the server makes more than {MOST_POINTS} system calls for a client")


def why_zombies(server: Server) -> str:
    handled = signal.SIGCHLD in kernel.signals(server.pid, "caught")
    return "one_signal_one_death" if handled else "never_reaped"


@check(points=2, read="reaping", causes=REAPING, after="children_that_die_together_are_all_reaped")
def test_a_child_may_die_at_any_moment(lab: Lab) -> None:
    """SIGCHLD may come at any moment: before accept, while fork is under way, between close and the next
    accept. A call that it interrupts is called again."""
    dies_at_every_point(lab.server("upper_server"), b"one\n", rb"ONE\n")
    comes_before_it_goes(lab.server("upper_server"))


def comes_before_it_goes(server: Server) -> None:
    """A client goes while the server is held just behind fork: its child may log that first, and still
    `connected` stands before `disconnected`.
    """
    with step("the server is held as soon as it has forked a child", quiet=True):
        with holding(server.pid) as held:
            zoe = server.connect("zoe")
            while not living(server) and held.to_next_call():
                continue
            zoe.half_close()
            poll(lambda: "\ndisconnected" in server.stdout.text, deadline() / 10)
        zoe.close()
        server.expect_logged("connected", zoe)
        server.expect_logged("disconnected", zoe)
    lines = [line.split()[0] for line in server.stdout.text.splitlines()[1:]]
    expect(
        lines == ["connected", "disconnected"],
        "she comes before she goes",
        otherwise=", ".join(lines),
        cause="other_log",
    )


@check(points=6, read="reaping", causes=REAPING)
def test_reaping_does_not_wait_for_the_living(lab: Lab) -> None:
    """A server that waits for a child which still has a client does not accept meanwhile."""
    replies = {"upper_server": rb"I\Z", "echo_server_sigchld -d 0": rb"Echo=>i at " + DATE}
    for command, reply in replies.items():
        server = lab.server(*command.split())
        ann, bob = server.connect_all("ann", "bob")
        wait_until(lambda: len(living(server)) == 2, "the server has a child for each")
        ann.close()
        wait_until(
            lambda: server.status() is not None or len(living(server)) == 1 and not zombies(server),
            "ann's child has exited and is reaped",
            cause=lambda: "never_reaped" if zombies(server) else "child_goes_on",
        )
        server.expect_alive()
        poll(lambda: kernel.at_rest(server.pid), deadline())
        where = kernel.waiting_in(server.pid)
        expect(
            "nanosleep" not in where and "Interrupted system call" not in server.stderr.text,
            "the server waits for the next client, as before",
            cause="interrupted",
            otherwise="it rests" if "nanosleep" in where else "it says that a call was interrupted",
        )
        cat = server.connect("cat")
        for client in (cat, bob):
            client.send(b"i")
            client.expect_match(reply, cause={"accept": "waits_for_the_living"})
        server.stop()


@check(points=5, read="when-fork-fails", causes=REAPING | COPIES)
def test_a_fork_that_fails_turns_one_client_away(lab: Lab) -> None:
    """fork can fail, by a limit or for lack of memory. The server logs it, closes that client's connection,
    and goes on."""
    server = lab.server("upper_server", faults={"fork": 1})
    ann = server.connect("ann")
    ann.expect_eof(cause=lambda: why_open(server))
    server.expect_match(r"^upper_server: fork: ", stream="stderr", cause="fork_unchecked")
    server.expect_all_logged_gone(cause="other_log")
    bob = server.connect("bob")
    bob.send(b"and me?\n")
    bob.expect(b"AND ME?\n")
    server = lab.server("upper_server")
    shortage.turns_one_away(server, "^upper_server: fork: ", (lambda: why_open(server), "fork_unchecked"))
    server.expect_all_logged_gone(cause="other_log")
    cat = server.connect("cat")
    cat.send(b"and me?\n")
    cat.expect(b"AND ME?\n")
    no_process_for_the_second(lab.server("upper_server", faults={"nth_fork": 2}))


def no_process_for_the_second(server: Server) -> None:
    """fork fails for the second client of an upper service. The first one is served to its end, and its child
    is reaped."""
    ann = server.connect("ann")
    wait_until(lambda: len(living(server)) == 1, "ann has a child")
    bob = server.connect("bob")
    bob.expect_eof(cause=lambda: why_open(server))
    server.expect_match(
        rf"^{server.name}: fork: Cannot allocate",
        stream="stderr",
        cause=lambda: "reason_invented" if ": fork: " in server.stderr.text else "fork_unchecked",
    )
    server.expect_logged("disconnected", bob)
    ann.send(b"i am served\n")
    ann.half_close()
    ann.expect(b"I AM SERVED\n")
    ann.expect_eof()
    wait_until(lambda: not server.children(), "ann's child is reaped", cause="reaping_ends")
    blocked = {signal.SIGTERM, signal.SIGINT} & kernel.signals(server.pid, "blocked")
    expect(
        not blocked, "the server can be ended", otherwise="it blocks SIGTERM or SIGINT", cause="stop_blocked"
    )
    server.stop()


def waits_for_a_descriptor(server: Server) -> None:
    """Sees how an upper service goes on when the server may open no descriptor more, and when it may
    again."""
    ann = server.connect("ann")
    wait_until(lambda: len(living(server)) == 1, "ann has a child")
    with server.no_descriptor_left():
        with server.paused():  # a server that ends because of bob has cat in its backlog
            bob, cat = server.connect_all("bob", "cat")
        wait_until(
            lambda: shortage.REASON in server.stderr.text or server.status() is not None,
            f"stderr says {shortage.REASON!r}",
            cause="accept_failed_silently",
        )
        server.expect_idle(cause="spins_when_full")
        shortage.goes_on(server)
        shortage.expect_told_once(server)
        ann.send(b"i am served\n")
        ann.half_close()
        ann.expect(b"I AM SERVED\n")
    for client in (bob, cat):
        client.send(b"and me?\n")
        client.half_close()
        client.expect(b"AND ME?\n", cause={"accept": "never_again"})


@check(
    points=3,
    read="when-fork-fails",
    causes=shortage.CAUSES | shortage.GONE,
    after="a_client_that_half_closes_sees_the_end",
)
def test_no_descriptor_left_is_logged_and_the_next_client_waits(lab: Lab) -> None:
    """When descriptors run out, accept fails, and would fail again at once. The server logs it and rests. Its
    clients are served, and the next one waits in the backlog until a descriptor is free."""
    waits_for_a_descriptor(lab.server("upper_server"))
    shortage.one_has_gone(lab.server("upper_server", faults={"aborted": 2}), b"ping\n", b"PING\n")


@check(points=4, read="reaping", causes=REAPING)
def test_the_handler_keeps_errno(lab: Lab) -> None:
    """A handler may come between a call that fails and the line that reads errno. Here it does so every
    time."""
    for name in ("upper_server", "echo_server_sigchld"):
        for fault, why in (
            ("fork", "Resource temporarily unavailable"),
            ("nth_fork", "Cannot allocate memory"),
        ):
            server = lab.server(name, faults={fault: 1})
            ann = server.connect("ann")
            ann.expect_eof()
            reason = server.expect_match(rf"^{name}: fork: (.*)$", stream="stderr")[1]
            expect(
                reason == why,
                f"the log says why fork failed: {why}",
                cause="errno_lost" if fault == "fork" else "reason_invented",
                otherwise=f"it says: {reason}",
            )


def all_have_exited(server: Server, count: int) -> None:
    """Waits until the log has so many clients, and their children have exited."""
    wait_until(lambda: server.stdout.text.count("\nconnected") == count, f"{count} clients are in the log")
    wait_until(
        lambda: not living(server),
        "all their children have exited",
        cause=lambda: "child_goes_on" if server.stdout.text.count("\ndisconnected") >= count else None,
        instead=lambda: f"{len(living(server))} are left",
    )
    server.expect_all_logged_gone(cause="other_log")


@check(
    points=3,
    read="a-child-for-each-client",
    causes=REAPING,
    after="a_client_that_half_closes_sees_the_end",
)
def test_no_client_ends_the_server(lab: Lab) -> None:
    """A reset, a close with replies unread, a client that sends nothing: each ends one child at most."""
    replies = {
        "upper_server": b"3",
        "echo_server -d 0": b"Echo=>3\n at ",
        "cas_server_shared": b"Bad",
        "bytes_server": rb"\*{3}",
    }
    for command, reply in replies.items():
        server = lab.server(*command.split())
        server.expect_private()
        server.expect_port_kept(socket.SO_REUSEPORT, cause="port_shared")
        before = server.descriptors()
        ann, cat = server.connect_all("ann", "cat")
        ann.send(b"1 2\n")
        ann.reset()
        cat.close()
        all_have_exited(server, 2)
        bob = server.connect("bob")
        bob.send_unread(b"9000000\n" * 1000)
        server.expect_patient()
        bob.close()
        all_have_exited(server, 3)
        wait_until(
            lambda: len(server.descriptors()) == len(before),
            "the server has as many descriptors as at first",
            cause="descriptor_left_open",
            instead=lambda: f"{len(server.descriptors())} instead of {len(before)}",
        )
        dan = server.connect("dan")
        dan.send(b"3\n")
        dan.expect_match(reply)
    for name, port in (("upper_server", 4444), ("echo_server_sigchld", 50007), ("cas_server_shared", 22222)):
        listens_by_default(lab, name, port)
    serves_without_standard_streams(lab, "upper_server", request=b"ping", reply=b"PING")


@check(
    points=6, read="the-end", causes=REAPING | moments.CAUSES, after="a_client_that_half_closes_sees_the_end"
)
def test_the_children_end_with_the_server(lab: Lab) -> None:
    """Ctrl-C goes to every process of the terminal, and `Exiting` is printed once. `kill` goes to the server
    alone: its children must end, too, and free the port."""
    server = lab.server("upper_server", port=lab.own_port())
    ann, bob = server.connect_all("ann", "bob")
    wait_until(lambda: len(living(server)) == 2, "the server has a child for each")
    with server.paused():  # the children first: what they print comes before the server ends
        server.send_signal(signal.SIGINT, children=True)
        wait_until(lambda: not living(server), "its children have ended")
    server.expect_exit()
    expect(
        server.stdout.text.count("Exiting") == 1,
        "`Exiting` is printed once",
        cause="children_say_it_too",
        otherwise=f"{server.stdout.text.count('Exiting')} times",
    )
    ann.expect_eof()
    bob.expect_eof()
    again = lab.server("upper_server", port=server.port, nohup=True)
    cat = again.connect("cat")
    cat.send(b"x")
    # Her child serves: it has passed the line that asks whether the server has ended already.
    cat.expect(b"X")
    again.stop()
    cat.expect_eof(cause="outlives_its_server")
    moments.ends_with_its_newborn_child(lab, "upper_server")
    moments.ends_from_its_first_line_on(lab, "upper_server")


@check(
    points=4,
    read="copies-of-descriptors",
    hidden=True,
    causes=REAPING | COPIES,
    after="a_client_that_half_closes_sees_the_end",
    slow=True,
)
def test_ten_thousand_clients_leave_nothing_behind(lab: Lab) -> None:
    """A leak of one descriptor or one zombie per client ends a server after days; here after seconds."""
    server = lab.server("upper_server")
    before = len(server.descriptors())
    with step("10 000 clients come and go, twenty at a time", quiet=True):
        for _ in range(10_000 // 20):
            clients = server.connect_all(*["a client"] * 20)
            for client in clients:
                client.send(b"x")
            for client in clients:
                client.expect(b"X")
                client.close()
    wait_until(lambda: not server.children(), "no child is left", cause="never_reaped")
    wait_until(
        lambda: len(server.descriptors()) == before,
        "none of its descriptors is left",
        cause="parent_keeps_copy",
        instead=lambda: f"{len(server.descriptors()) - before} more",
    )


# --- the lecture's echo servers

ECHO = {
    "no_simulated_work": "A child sleeps for its client before it reads: as long as -d says, with its "
    "fraction, and 5 s without -d.",
    "bytes_lost": "A chunk did not come back as it was sent: it may have zero bytes, and has as many as "
    "recv returned.",
}


def echo(server: Server, name: str, cause: str | None = None) -> None:
    """A client comes, gets its echo, and goes."""
    client = server.connect(name)
    client.send(name.encode())
    client.expect_match(rb"Echo=>" + name.encode() + rb" at " + DATE + rb"\Z", cause=cause)
    client.half_close()
    client.expect_eof()


@check(points=0, read="zombies", causes=REAPING, slow=True)
def test_echo_server_reaps_at_the_next_connect(lab: Lab) -> None:
    """The lecture's server reaps its children when the next client connects: until then they are zombies."""
    server = lab.server("echo_server", "-d", "0")
    echo(server, "ann")
    wait_until(lambda: len(zombies(server)) == 1, "ann's child is a zombie")
    ann = zombies(server)[0]
    bob = server.connect("bob")
    bob.send(b"bob")
    bob.expect_match(rb"Echo=>bob at " + DATE)
    wait_until(lambda: ann not in server.children(), "it is reaped when bob connects", cause="never_reaped")
    expect(len(living(server)) == 1, "bob's child is there")


@check(
    points=0,
    read="a-child-for-each-client",
    causes={"no_simulated_work": "With -d SECONDS a child sleeps so long for its client, before it reads."},
)
def test_work_for_one_client_makes_no_other_wait(lab: Lab) -> None:
    """While one child works for its client, the server accepts the next."""
    for name in ("echo_server", "echo_server_sigign", "echo_server_sigchld"):
        server = lab.server(name, "-d", "3600")
        ann, bob = server.connect_all("ann", "bob")
        ann.expect_accepted()
        bob.expect_accepted()
        wait_until(lambda: len(living(server)) == 2, "both have a child that works")
        for child in living(server):
            wait_until(
                lambda: "nanosleep" in kernel.waiting_in(child),
                "the child sleeps before it reads",
                cause="no_simulated_work",
            )
        server.stop()


@check(points=0, read="zombies", causes=CURED)
def test_echo_server_zombies_keeps_them_all(lab: Lab) -> None:
    """Without waitpid a child that has exited stays in the process table, until its parent ends."""
    server = lab.server("echo_server_zombies", "-d", "0")
    for count, name in enumerate(("ann", "bob", "cat"), start=1):
        echo(server, name)
        wait_until(lambda: len(zombies(server)) == count, f"zombies: {count}", cause="cured")
    server.stop()


@check(points=0, read="a-child-exits", causes=CURED)
def test_echo_server_noexit_competes_with_its_children(lab: Lab) -> None:
    """A child that does not exit accepts, too: it serves clients while the server itself is paused."""
    server = lab.server("echo_server_noexit", "-d", "0")
    echo(server, "ann")
    wait_until(lambda: server.stdout.text.count("disconnected") == 1, "ann's child has served her")
    wait_until(lambda: len(living(server)) == 1, "it is still there", cause="cured")
    with server.paused():
        echo(server, "bob", cause="cured")
    server.stop()


@check(points=0, read="reaping", causes=REAPING)
def test_ignoring_sigchld_leaves_no_zombie(lab: Lab) -> None:
    """If a process ignores SIGCHLD, the kernel keeps no zombies of its children, not even for a moment."""
    server = lab.server("echo_server_sigign", "-d", "0")
    echo(server, "ann")
    with server.paused():
        wait_until(
            lambda: not server.children(),
            "the server is paused, and no zombie is there",
            cause="never_reaped",
        )


def answered_after(lab: Lab, least: float, *arguments: str) -> None:
    """An echo server sleeps for at least so long before it answers. It is not awaited for long."""
    server = lab.server("echo_server_sigchld", *arguments)
    begin = time.monotonic()
    ann = server.connect("ann")
    ann.send(b"ann")
    poll(ann.unread, min(least, 0.4))
    early = ann.unread() != b"" and time.monotonic() < begin + least
    expect(not early, f"no reply comes before {least} s", otherwise="it has come", cause="no_simulated_work")
    server.stop()


@check(points=5, read="reaping", causes=REAPING | DATED | ECHO)
def test_the_handler_reaps_all_that_died_together(lab: Lab) -> None:
    """Signals do not queue: five children that exit while the server is stopped are one SIGCHLD. The next
    client gets its bytes and the time as it is."""
    server = lab.server("echo_server_sigchld", "-d", "0")
    die_together(server)
    echo(server, "fay")
    gus = server.connect("gus")
    for chunk in (b"a\0b\xff", b"x" * 1024):
        gus.send(chunk)
        gus.expect_match(
            rb"\AEcho=>" + re.escape(chunk) + rb" at " + DATE + rb"\Z", cause={"bytes": "bytes_lost"}
        )
    dated_anew(gus)
    answered_after(lab, 5.0)
    answered_after(lab, 0.3, "-d", "0.3")


@check(points=1, read="reaping", causes=REAPING, after="the_handler_reaps_all_that_died_together")
def test_the_handler_may_come_at_any_moment(lab: Lab) -> None:
    """SIGCHLD may come at any moment, and a call that it interrupts is called again."""
    server = lab.server("echo_server_sigchld", "-d", "0")
    dies_at_every_point(server, b"one", rb"Echo=>one at " + DATE)


# --- one register for all


def cas(server: Server, name: str, line: bytes, reply: bytes, cause: str | None = None) -> None:
    """A client comes, swaps once, and goes."""
    client = server.connect(name)
    client.send(line)
    client.expect(reply, cause={"bytes": cause} if cause else None)
    client.half_close()
    client.expect_eof()


@check(points=0, read="a-register-of-its-own", causes=CURED)
def test_cas_server_private_forgets_what_its_children_swap(lab: Lab) -> None:
    """fork copies the memory: ann's child stores 7 in its own copy, and bob's starts from the parent's 0
    again."""
    server = lab.server("cas_server_private")
    cas(server, "ann", b"0 7\n7 8\n", b"0\n7\n")
    cas(server, "bob", b"0 0\n", b"0\n", "cured")


@check(points=5, read="shared-memory", causes=MEMORY)
def test_what_one_child_stores_the_next_one_finds(lab: Lab) -> None:
    """One register for all clients, in memory that fork does not copy."""
    server = lab.server("cas_server_shared")
    cas(server, "ann", b"0 7\n7 8\n", b"0\n7\n", "not_swapped")
    cas(server, "bob", b"0 0\n", b"8\n", "own_copy")
    near = b"".join(b"%d 5\n" % (8 ^ 1 << bit) for bit in range(64))
    largest = str(LARGEST_VALUE).encode()
    there_and_back = b"8 " + largest + b"\n" + largest + b" 8\n"
    cas(server, "eve", near + there_and_back, b"8\n" * 65 + largest + b"\n", "half_a_number")
    bob = server.connect("bob, again,")
    one_child(server, cause="no_child")
    bob.send(b"8 ")
    bob.send(b"9\nnine ten\n18446744073709551616 1\n9")
    bob.expect(b"8\nBad Syntax\nOut of Range\n")
    cat = server.connect("cat")
    with server.paused():
        cat.send(b"x\n0 y\n" + b"9" * 70_000)
    cat.expect(b"Bad Syntax\nBad Syntax\nLine too long\n", cause={"bytes": "replies_dropped"})
    cat.expect_eof()
    server.stop()
    cas(lab.server("cas_server_shared"), "dan, after a restart,", b"0 0\n", b"0\n", "left_over")


@check(points=5, read="shared-memory", causes=MEMORY, slow=True)
def test_of_two_children_that_make_the_same_swap_one_wins(lab: Lab) -> None:
    """The comparison and the store have to be one atomic step: no other process may make the same swap in
    between."""
    server = lab.server("cas_server_shared")
    ann = server.connect("ann")
    child = one_child(server)
    bob = server.connect("bob")
    share_one_register(ann, bob)
    store = instructions_to_the_store(ann, bob, child)
    for distance in range(1, 16):
        with step(
            f"ann's child is held {distance} instructions before its store, and bob makes its swap",
            quiet=True,
        ):
            with holding_at_rest(child) as held:
                ann.send(b"0 1\n")
                held.forward(store - distance)
                bob.send(b"0 2\n")
                poll(bob.unread, 0.3)  # he gets no reply if he has to wait for her
            winners = [client.name for client in (ann, bob) if client.expect_match(rb"(\d+)\n")[1] == b"0"]
            expect(len(winners) == 1, "one of them wins", cause="two_winners", otherwise=f"{len(winners)} do")
            bob.send(b"1 0\n2 0\n")
            bob.expect_match(rb"\d+\n\d+\n")
    for distance in range(1, 9):
        with step(
            f"bob swaps 0 for 2 before her store, and 2 for 0 again {distance} instructions later", quiet=True
        ):
            with holding_at_rest(child) as held:
                ann.send(b"0 1\n")
                held.forward(store - 2)  # bob may have seen the store one instruction late
                bob.send(b"0 2\n")
                poll(bob.unread, 0.3)
                held.forward(distance)
                bob.send(b"2 0\n")
                poll(lambda: bob.unread().count(b"\n") == 2, 0.3)
            told = ann.expect_match(rb"(\d+)\n")[1]
            bob.send(b"1 0\n")
            found = bob.expect_match(rb"\d+\n\d+\n(\d+)\n")[1]
            expect(
                (told == b"0") == (found == b"1"),
                "she is told 0 if her swap was made, and only then",
                cause="told_a_later_value",
                otherwise=f"she is told {told.decode()}, and the register has {found.decode()}",
            )
    swap_side_by_side(server)


def share_one_register(ann: Peer, bob: Peer) -> None:
    """Each of two clients finds what the other has stored. Afterwards it is 0 again."""
    with step("ann swaps 0 for 1, and bob finds the 1", quiet=True):
        for client, line, reply, cause in (
            (ann, b"0 1\n", b"0\n", "not_swapped"),
            (ann, b"1 1\n", b"1\n", "not_swapped"),
            (bob, b"1 0\n", b"1\n", "own_copy"),
            (ann, b"0 0\n", b"0\n", "own_copy"),
        ):
            client.send(line)
            client.expect(reply, cause={"bytes": cause})


@contextmanager
def holding_at_rest(child: int) -> Iterator[Held]:
    """Holds a client's child where it waits for the next line, so that its instructions count from there."""
    wait_until(lambda: kernel.at_rest(child), "it waits for her line")
    with holding(child) as held:
        yield held


def instructions_to_the_store(ann: Peer, bob: Peer, child: int) -> int:
    """How many instructions ann's child needs for her line 0 1 until bob sees the 1; the register is 0 again
    afterwards."""
    count = 0
    with step(
        "ann's child swaps 0 for 1, instruction by instruction, until bob sees it", quiet=True
    ) as current:
        with holding_at_rest(child) as held:
            ann.send(b"0 1\n")
            bob.send(b"0 0\n")
            while True:
                if poll(bob.unread, 0.3):  # unless he has to wait
                    if bob.expect_match(rb"(\d+)\n")[1] == b"1":
                        break
                    bob.send(b"0 0\n")
                if not held.forward():
                    break
                count += 1
        ann.expect(b"0\n")
        bob.send(b"1 0\n")
        bob.expect_match(rb"(\d+\n)*1\n")
        current.outcome = f"after {count}"
    return count


def swap_side_by_side(server: Server) -> None:
    """Eight clients send the same swaps at once: each must be made once."""
    swaps = 20_000
    lines = b"".join(b"%d %d\n" % (value, value + 1) for value in range(swaps))
    clients = [server.connect(f"client {number}") for number in range(1, 9)]
    winners = [0] * swaps
    replies = dict.fromkeys(clients, 0)

    def answered(client: Peer, line: bytes) -> bytes | None:
        winners[replies[client]] += line == b"%d" % replies[client]
        replies[client] += 1
        return b"" if replies[client] < swaps else None

    with step(f"eight clients send the same {swaps} swaps", quiet=True):
        for client in clients:
            client.send(lines)
    converse(clients, answered, "all get their replies")
    expect(
        winners.count(1) == swaps,
        "each swap was made once",
        cause="two_winners",
        otherwise=f"{swaps - winners.count(1)} were not made, or by two clients",
    )


@check(points=5, read="shared-memory", causes=MEMORY)
def test_sixteen_clients_count_to_eight_thousand(lab: Lab) -> None:
    """Each adds 500 by compare and swap, and tries again if another was faster: no step is lost or made
    twice."""
    server = lab.server("cas_server_shared")
    ann, bob = server.connect_all("ann", "bob")
    share_one_register(ann, bob)
    wait_until(lambda: len(living(server)) == 2, "ann and bob have a child each", cause="no_child")
    count_together(server)


@check(
    points=3,
    read="shared-memory",
    causes=MEMORY,
    after="of_two_children_that_make_the_same_swap_one_wins",
)
def test_a_child_that_is_killed_leaves_the_register_usable(lab: Lab) -> None:
    """A child can be killed between any two instructions: it must not leave a lock behind that others wait
    for."""
    server = lab.server("cas_server_shared")
    ann = server.connect("ann")
    child = one_child(server)
    bob = server.connect("bob")
    share_one_register(ann, bob)
    store = instructions_to_the_store(ann, bob, child)
    others = set(server.children())
    for distance in range(-2, 6):
        cat = server.connect("cat")
        cat.send(b"0 0\n")
        cat.expect(b"0\n")
        child = next(iter(set(server.children()) - others))
        when = "before" if distance > 0 else "after"
        with step(
            f"cat's child is killed {abs(distance)} instructions {when} its store",
            quiet=True,
        ):
            with holding_at_rest(child) as held:
                cat.send(b"0 1\n")
                held.forward(store - distance)
                held.kill()
            wait_until(lambda: set(server.children()) == others, "the child is gone")
            bob.send(b"1 0\n")
            bob.expect_match(rb"\d+\n", cause={"answer": "lock_kept"})


# --- bytes, and any program


@check(
    points=0,
    read="what-a-client-costs",
    causes={"recv_is_a_line": "What one recv returned was taken for the whole line."},
)
def test_bytes_server_sends_as_many_as_were_asked_for(lab: Lab) -> None:
    """A line with a number N gets N bytes and the end, also if the line comes in pieces."""
    byte_by_byte = lab.server("bytes_server", faults={"recv": 1})
    bob = byte_by_byte.connect("bob")
    bob.send(b"10\n")
    bob.expect(b"*" * 10, cause="recv_is_a_line")
    server = lab.server("bytes_server")
    counts_out_bytes(server)
    cat = server.connect("cat")
    cat.send(b"10")
    cat.half_close()
    cat.expect_eof(cause="recv_is_a_line")


@check(
    points=0,
    read="what-a-client-costs",
    causes={"all_at_once": "The whole reply was made before the first byte of it was sent."},
)
def test_a_gibibyte_costs_no_gibibyte(lab: Lab) -> None:
    """The reply is sent from one block, again and again. A client that does not read its reply makes no other
    client wait."""
    server = lab.server("bytes_server")
    ann = server.connect("ann", receive_buffer=4096)
    ann.send(LARGEST)
    child = one_child(server)
    wait_until(
        lambda: ann.unread() or kernel.memory(child) >= 32 << 20, "her reply begins, or fills the memory"
    )
    expect(
        kernel.memory(child) < 32 << 20,
        "the child has less than 32 MiB",
        cause="all_at_once",
        otherwise=f"{kernel.memory(child) >> 20} MiB",
    )
    bob = server.connect("bob")
    bob.send(b"5\n")
    bob.expect(b"*****")


def why_no_echo(server: Server) -> str | None:
    """The likely cause if cat, as the program of the super server, does not give back what it got."""
    programs = [child for child in living(server) if kernel.command(child) == "cat"]
    if not programs:
        failed = re.search(r"\bexec\w*: ", server.stderr.text)
        return why_it_lives(server) or ("not_executed" if failed else None)
    found = kernel.descriptors(programs[-1])
    three = [found.get(standard, "") for standard in (0, 1, 2)]
    return "not_standard" if not three[0].startswith("socket:") or len(set(three)) > 1 else None


def why_not_ended(server: Server, client: Peer) -> Callable[[], str | None]:
    """The likely cause if a client gets anything but the end."""
    return lambda: "told_the_client" if client.unread() else why_it_lives(server)


def why_it_lives(server: Server) -> str | None:
    """The likely cause if a child of the super server lives although exec has failed."""
    failed = re.search(r"\b(exec\w*|accept\w*): ", server.stderr.text)
    loops = any(kernel.command(child) == "super_server" for child in living(server))
    if loops and not failed:
        return "stays_after_exec"
    return "goes_on_after_exec" if loops else None


@check(points=4, read="super-server", causes=PROGRAMS | moments.CAUSES)
def test_super_server_makes_a_server_of_cat(lab: Lab) -> None:
    """cat copies its input to its output. It knows no sockets, and a super server makes an echo server
    of it."""
    server = lab.server("super_server", "sleep", "600")
    server.expect_private()
    zoe = server.connect("zoe")

    def asleep() -> list[int]:
        return [child for child in living(server) if kernel.command(child) == "sleep"]

    for child in poll(asleep, deadline() / 2) or []:  # if there is none, cat tells why
        expect(
            not kernel.open_flags(child, 0) & os.O_NONBLOCK,
            "the connection of her program blocks",
            cause="program_does_not_wait",
            otherwise="it has O_NONBLOCK",
        )
    zoe.close()
    server = lab.server("super_server", "cat", "-u")
    ann, bob = server.connect_all("ann", "bob")
    for client in (bob, ann):
        client.send(b"hello\n")
        client.expect(b"hello\n", cause=lambda: why_no_echo(server))
        client.half_close()
        client.expect_eof()
    wait_until(lambda: not server.children(), "no child is left")
    cat = server.connect("cat")
    cat.send(b"miaow\n")
    cat.expect(b"miaow\n")
    server.stop()
    server = lab.server("super_server", "head", "-n", "1")
    dan = server.connect("dan")
    dan.send(b"hello\n")
    dan.expect(b"hello\n", cause={"answer": "arguments_lost"})
    dan.expect_eof()
    server.stop()
    words = ("a  b", "*", "$HOME", "'", '"', "\\", "")
    server = lab.server("super_server", "printf", "<%s>", *words)
    eve = server.connect("eve")
    wanted = "".join(f"<{word}>" for word in words).encode()
    got = eve.read_to_eof()
    expect(got == wanted, f"she gets {show(wanted)}", cause="arguments_changed", otherwise=show(got))
    found = lab.file("tr", b"")  # it cannot be executed, and the shell looks further
    found.chmod(0o644)
    server = lab.server("super_server", "tr", "a-z", "A-Z", env={"PATH": f"{found.parent}:/usr/bin:/bin"})
    fay = server.connect("fay")
    fay.send(b"found\n")
    fay.half_close()
    fay.expect(b"FOUND\n", cause=lambda: "path_given_up" if "execv" in server.stderr.text else None)
    server.stop()
    listens_by_default(lab, "super_server", 22222, "cat")
    moments.ends_with_its_newborn_child(lab, "super_server", "cat")
    moments.ends_from_its_first_line_on(lab, "super_server", "cat")


@check(points=5, read="super-server", causes=PROGRAMS)
def test_the_program_gets_the_connection_and_nothing_else(lab: Lab) -> None:
    """A program expects descriptors 0, 1 and 2, no others, and its signals with their default actions."""
    server = lab.server("super_server", "cat")
    ann = server.connect("ann")
    child = one_child(server)
    ann.send(b"hello\n")
    ann.expect(b"hello\n", cause=lambda: why_no_echo(server))
    expect(kernel.command(child) == "cat", "the child is cat")
    found = kernel.descriptors(child)  # now, since the loader has files open before main
    expect(
        len({found.get(standard) for standard in (0, 1, 2)}) == 1 and found[0].startswith("socket:"),
        "its 0, 1 and 2 are the connection",
        cause="not_standard",
        otherwise=str(found),
    )
    expect(
        set(found) == {0, 1, 2}, "it has no other descriptor", cause="too_many_copies", otherwise=str(found)
    )
    # What is ignored here was ignored in the super server at its start, but for two that Python ignores.
    inherited = kernel.signals(os.getpid(), "ignored") - {signal.SIGPIPE, signal.SIGXFSZ}
    ignored = sorted(signal.Signals(number).name for number in kernel.signals(child, "ignored") - inherited)
    expect(
        not ignored,
        "it ignores no signal that the super server had not ignored at its start",
        otherwise=f"it ignores {', '.join(ignored)}",
        cause="still_ignored",
    )
    expect(not kernel.signals(child, "blocked"), "it has no signal blocked", cause="still_blocked")


@check(points=2, read="super-server", causes=PROGRAMS, after="super_server_makes_a_server_of_cat")
def test_super_server_survives_a_program_that_is_not_there(lab: Lab) -> None:
    """The error message is for the log, and the client gets nothing but the end. The server goes on."""
    for program, reason in (("no_such_program", "No such file or directory"), ("/", "Permission denied")):
        server = lab.server("super_server", program)
        for name in ("ann", "bob"):
            client = server.connect(name)
            client.expect_eof(cause=why_not_ended(server, client))
        told = f"^super_server: execvp: {reason}\n"
        server.expect_match(
            rf"{told}(?s:.*){told}",
            stream="stderr",
            cause=lambda: "reason_invented"
            if server.stderr.text.count(": execvp: ") > 1
            else "exec_untold"
            if ": exec" not in server.stderr.text
            else None,
        )
        wait_until(lambda: not server.children(), "no child is left")
    stdin_cas = lab.other("lab01", "stdin_cas")
    if stdin_cas is not None:
        server = lab.server("super_server", str(stdin_cas))
        cas(server, "cat", b"0 7\n7 8\n", b"0\n7\n")


@check(
    points=1,
    read="when-fork-fails",
    causes=shortage.CAUSES | shortage.GONE | REAPING | COPIES,
    after="super_server_makes_a_server_of_cat",
)
def test_super_server_waits_for_a_descriptor_too(lab: Lab) -> None:
    """When descriptors run out, accept fails, and would fail again at once: the server logs it, and rests.
    When fork fails, one client is turned away."""
    waits_for_a_descriptor(lab.server("super_server", "tr", "a-z", "A-Z"))
    no_process_for_the_second(lab.server("super_server", "tr", "a-z", "A-Z", faults={"nth_fork": 2}))
    shortage.one_has_gone(lab.server("super_server", "cat", faults={"aborted": 2}), b"ping\n", b"ping\n")
