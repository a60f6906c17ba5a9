"""What is true of lab06's servers with a thread per client."""

from __future__ import annotations

from labkit import Lab, check, expect, kernel, step, wait_until
from labkit.counting import count_together
from labkit.instructions import holding
from labkit.services import DATE, LARGEST, ONE_DIGIT_DAY, counts_out_bytes, expect_echo
from labkit.steps import if_silent
from labkit.threads import expect_shared, threaded
from labkit.waiting import deadline, poll

MOST_CALLS = 200  # begins and ends of system calls from a connection to its thread

SERVERS = {
    "thread_leak": "Something of each client's thread is left after its end: join it or detach it.",
    "descriptor_leak": "A connection stays open after its client has gone: which thread owns the descriptor?",
    "one_after_the_other": "A client had to wait for another one: each must have a thread of its own.",
    "closed_too_early": "A connection was closed while its client was connected: the thread must own the "
    "descriptor, and the loop must not close it.",
    "connected_late": "A client's thread runs, and the log does not say yet that the client has connected: "
    "if the client is quick, `disconnected` comes first. Log it before you start the thread.",
    "wrong_log": "The log does not say which client has come or gone, by its own address.",
}
BROKEN = {
    "not_broken": "The program no longer shows the mistake that it was made to show.",
}
REGISTER = {
    "not_one_register": "The reply is not the value of one register that all clients share.",
    "one_after_the_other": "A client had no thread: each must have one of its own.",
    "not_shared": "The replies are right, and no two threads share the register that they come from.",
    "replies_cut": "Many lines came in one piece, and not each got its reply: the replies may be much "
    "longer than the lines.",
    "two_winners": "Two clients made the same swap: it must be one step for all other threads.",
}


@check(points=3, read="a-thread-for-each-client", causes=SERVERS)
def test_each_client_has_a_thread(lab: Lab) -> None:
    """A silent client is silent in a thread of its own: the others are served, and its end is that
    thread's end."""
    server = lab.server("upper_server")
    ann, bob, cat = server.connect_all("ann", "bob", "cat")

    def why() -> str | None:
        waits = [client.accepted() is False for client in (ann, bob, cat)]
        closed = "\ndisconnected" in server.stdout.text
        return "one_after_the_other" if any(waits) else "closed_too_early" if closed else None

    threaded(server, 3, cause=why)
    for client in (ann, bob, cat):
        server.expect_logged("connected", client, cause="wrong_log")
    for client in (cat, bob):
        client.send(b"me first\n")
        client.expect(b"ME FIRST\n", cause=if_silent("one_after_the_other"))
    ann.send(b"the last words\n")
    ann.half_close()
    ann.expect(b"THE LAST WORDS\n")
    ann.expect_eof(cause={"behaviour": "descriptor_leak"})
    threaded(server, 2, cause="thread_leak")
    server.expect_logged("disconnected", ann, cause="wrong_log")
    server.expect_idle()
    many = server.connect_all(*(f"client {number}" for number in range(1, 301)))
    with step("300 more clients are served at the same time", quiet=True):
        for client in many:
            client.send(client.name.encode())
        for client in many:
            waits = if_silent("one_after_the_other")
            client.expect(client.name.upper().encode(), cause=waits)
    for name in ("upper_server", "cas_server", "upper_server_graceful"):
        is_logged_before_its_thread(lab, name)


def is_logged_before_its_thread(lab: Lab, name: str) -> None:
    """The thread of a quick client may have ended before the loop goes on: its two lines keep their order."""
    server = lab.server(name)
    with step(f"{name} is held when it has started ann's thread", quiet=True), holding(server.pid) as held:
        ann = server.connect("ann")
        for _ in range(MOST_CALLS):
            if (held.to_next_call() or "asleep").startswith(("after clone", "asleep")):
                break
        poll(lambda: "\nconnected " in server.stdout.text, deadline() / 4)
        logged = "\nconnected " in server.stdout.text
    expect(logged, "it is logged that ann has connected", cause="connected_late")
    ann.close()


@check(points=1, read="a-global-connection", causes=SERVERS)
def test_what_threads_use_is_their_own_or_locked(lab: Lab) -> None:
    """A thread may use a variable of the loop long after its start. Then this variable belongs to another
    client: the thread needs a copy."""
    for name, reply in (("upper_server", b"1 2\n"), ("cas_server", b"0\n")):
        server = lab.server(name, variant="tsan")
        ann, bob = server.connect_all("ann", "bob")
        threaded(server, 2, cause="one_after_the_other")
        for client in (bob, ann):
            client.send(b"1 2\n")
            client.expect(reply, cause=if_silent("one_after_the_other"))
        ann.half_close()
        ann.expect_eof(cause={"behaviour": "descriptor_leak"})
        cat = server.connect("cat")
        for client in (cat, bob):
            client.send(b"1 2\n")
            client.expect(reply)
        server.stop()


@check(points=0, read="a-thread-for-each-client", causes=BROKEN)
def test_lines_printed_in_pieces_are_garbled(lab: Lab) -> None:
    """Another thread may print between two pieces of a line; a line written in one call stays whole."""
    for way in ("pieces", "whole"):
        with step(f"garbled_lines {way} is run twenty times at most", quiet=True) as current:
            garbled = 0
            for _ in range(20):
                lines = lab.run("garbled_lines", way, variant="").expect_status(0).stdout.splitlines()
                garbled += sum(line.count(b"Thread") != 1 for line in lines)
                if garbled:
                    break
            expect(
                bool(garbled) == (way == "pieces"),
                f"lines are garbled: {way == 'pieces'}",
                cause="not_broken",
            )
            current.outcome = f"{garbled} garbled lines in the last run"


@check(points=0, read="a-global-connection", causes=BROKEN)
def test_upper_server_global_answers_the_wrong_client(lab: Lab) -> None:
    """One global connection for all threads: replies go to the client that came last."""
    for variant in (None, "tsan"):
        server = lab.server("upper_server_global", variant=variant)
        ann = server.connect("ann")
        ann.send(b"one")
        ann.expect(b"ONE")
        # ann's thread waits for ann, as long as no other client has come.
        server.expect_at_rest()
        bob = server.connect("bob")
        wait_until(lambda: server.stdout.text.count("\nconnected") == 2, "bob is in the log")
        threaded(server, 2)
        ann.send(b"two")
        bob.expect(b"TWO", cause="not_broken")
        expect(not ann.unread(), "ann got nothing")
        server.stop()


# --- echo, cas, bytes, classes


@check(points=1, read="a-thread-for-each-client", causes=SERVERS)
def test_work_for_one_client_holds_up_no_other(lab: Lab) -> None:
    """The work for five clients is done at the same time, each in its thread; then each gets its own echo."""
    server = lab.server("echo_server", "-d", "1", faults={"time": ONE_DIGIT_DAY})
    clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
    for client in clients:
        client.send(client.name.encode())
    threaded(server, 5, cause="one_after_the_other")
    for client in clients:
        expect_echo(client, client.name.encode())
        client.half_close()
        client.expect_eof()


@check(points=0, read="classes", causes=SERVERS)
def test_one_handler_serves_in_threads_in_processes_or_one_after_the_other(lab: Lab) -> None:
    """The handler is the same; the mix-in decides. Here the work for a client takes an hour, and eight
    come."""
    names = [f"client {number}" for number in range(1, 9)]
    server = lab.server("class_server", "-m", "thread", "-d", "3600")
    server.connect_all(*names)
    threaded(server, 8, cause="one_after_the_other")
    server.stop()
    server = lab.server("class_server", "-m", "fork", "-d", "3600")
    server.connect_all(*names)
    wait_until(
        lambda: len(server.children()) == 8, "the server has eight children", cause="one_after_the_other"
    )
    server.stop()
    server = lab.server("class_server", "-m", "serial", "-d", "3600")
    first, *others = server.connect_all(*names)
    first.expect_accepted()
    server.expect_at_rest()
    for client in others:
        client.expect_waiting()
    expect(
        server.threads() == 1 and not server.children(), "no other thread or process is there to serve them"
    )
    for how in ("thread", "fork", "serial"):
        server = lab.server("class_server", "-m", how, "-d", "0")
        for name in ("ann", "bob"):
            client = server.connect(name)
            client.send(name.encode())
            client.expect_match(rb"Echo=>" + name.encode() + rb" at " + DATE + rb"\Z")
            client.half_close()
            client.expect_eof()
        wait_until(lambda: not server.children(), "no child is left")


@check(points=3, read="one-register", causes=REGISTER)
def test_swaps_of_two_threads_are_never_one(lab: Lab) -> None:
    """Two clients swap in turn. Without a lock between their threads that is a race, however slowly they
    do it."""
    server = lab.server("cas_server", variant="tsan")
    ann, bob = server.connect_all("ann", "bob")
    threaded(server, 2, cause="one_after_the_other")
    for client, line, reply in (
        (ann, b"0 1\n", b"0\n"),
        (bob, b"1 2\n", b"1\n"),
        (ann, b"2 3\n0 0\n", b"2\n3\n"),
        (bob, b"nine\n3 ", b"Bad Syntax\n"),
        (bob, b"18446744073709551616\n", b"Out of Range\n"),
    ):
        client.send(line)
        client.expect(reply, cause={"bytes": "not_one_register"})
        server.expect_alive()
    bob.send(b"\n")
    bob.expect(b"Bad Syntax\n", cause=if_silent("empty_line_skipped"))
    with server.paused():
        bob.send(b"\n" * 1024)
    bob.expect(b"Bad Syntax\n" * 1024, cause={"bytes": "replies_cut"})
    cat = server.connect("cat")
    with server.paused():
        cat.send(b"x\n0 y\n" + b"9" * 70_000)
    cat.expect(b"Bad Syntax\nBad Syntax\nLine too long\n", cause={"bytes": "replies_dropped"})
    cat.expect_eof()
    cat.send(b"\n3 99\n")
    cat.half_close()
    server.expect_logged("disconnected", cat)
    bob.send(b"3 3\n")
    bob.expect(b"3\n", cause={"bytes": "swaps_when_refused"})
    server.stop()
    server = lab.server("cas_server", variant="tsan", unlocked=True)
    clients = server.connect_all("ann", "bob")
    with step("ann and bob swap in turn, forty times", quiet=True):
        for number in range(40):
            clients[number % 2].send(b"%d %d\n" % (number, number + 1))
            clients[number % 2].expect(b"%d\n" % number, cause={"bytes": "not_one_register"})
    expect_shared(server, 40, cause="not_shared")


@check(points=2, read="one-register", causes=REGISTER)
def test_sixteen_clients_count_to_eight_thousand(lab: Lab) -> None:
    """Each adds 500 by compare and swap, and tries again when another was faster: no step is lost or made
    twice."""
    count_together(lab.server("cas_server"))
    # A lock that is tried, and ignored if another thread has it, is a race only when two come together.
    count_together(lab.server("cas_server", variant="tsan"), steps=50)


@check(points=1, read="what-a-thread-costs", causes=SERVERS)
def test_bytes_servers_send_as_many_as_were_asked_for(lab: Lab) -> None:
    """A line with a number, so many bytes, the end: also if the line comes in pieces, or another client reads
    nothing."""
    for name in ("bytes_server", "bytes_server_prethreaded"):
        server = lab.server(name, variant="")
        if name == "bytes_server_prethreaded":
            threaded(server, 10, cause="one_after_the_other")
        slow = server.connect("a slow client", receive_buffer=4096)
        slow.send(LARGEST)
        if name == "bytes_server":
            threaded(server, 1, cause="one_after_the_other")
        counts_out_bytes(server)
        bob = server.connect("bob")
        bob.send(b"10")
        bob.half_close()
        bob.expect_eof()
        memory = kernel.memory(server.pid)
        expect(memory < 32 << 20, "the server has less than 32 MiB", otherwise=f"{memory >> 20} MiB")


@check(points=0, read="what-a-thread-costs")
def test_spawn_cost_measures_both(lab: Lab) -> None:
    """How much more a process costs than a thread depends on the memory that the process uses."""
    run = lab.run("spawn_cost", "-n", "5").expect_status(0)
    for memory in (0, 1, 10, 100):
        run.expect_match(rf"^ +{memory} MiB +\d+ us +\d+ us +\d+$")
    wrong = lab.run("spawn_cost", "-n", "none").expect_status(2)
    wrong.expect_match(r"^usage: spawn_cost \[-n TIMES\]$", stream="stderr")
