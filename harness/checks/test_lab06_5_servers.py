"""What is true of lab06's servers with a thread per client, and of every server of the lab."""

from __future__ import annotations

import signal
from functools import partial

from labkit import Lab, Server, check, expect, kernel, step, wait_until
from labkit.counting import count_together
from labkit.threads import expect_gone, threaded

DATE = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"

SERVERS = {
    "thread_leak": "Something of each client's thread is left after its end: join it or detach it.",
    "descriptor_leak": "A connection stays open after its client has gone: which thread owns the descriptor?",
    "one_after_the_other": "A client had to wait for another one: each must have a thread of its own.",
    "no_thread_unnoticed": "A thread could not be started, and the client was not turned away: its "
    "connection closed, "
    "and the reason said on stderr.",
    "pool_shrinks": "A client's error has cost the pool a thread: it is missing ever after.",
    "lock_held_while_serving": "A thread kept a lock while it served its client: no other thread can go on.",
}
FULL = {
    "spins_when_full": "accept fails because no descriptor is left, and fails again at once, since the "
    "client still "
    "waits: rest before the next accept.",
    "full_unsaid": "accept failed, and stderr does not say why.",
    "full_said_again": "The same shortage was said again and again: once is enough.",
    "full_serves_nobody": "While no descriptor is left, the clients that have connected are not served.",
    "never_again": "A descriptor is free again, and the client that waited for one is still not accepted.",
}
BROKEN = {
    "not_broken": "The program no longer shows the mistake that it was made to show.",
}
REGISTER = {
    "two_winners": "Two clients made the same swap: it must be one step for all other threads.",
}

# Every server of the lab, in the order of its teaching: with words that make it serve at once.
SERVING: tuple[tuple[str, list[str]], ...] = (
    ("upper_server", []), ("upper_server_lock", []), ("upper_server_pool", []), ("upper_server_graceful", []),
    ("upper_server_slow_pool", ["-d", "0"]), ("echo_server", ["-d", "0"]), ("class_server", ["-d", "0"]),
    ("cas_server", []), ("bytes_server", []), ("bytes_server_prethreaded", []),
)  # fmt: skip
THREE = {"echo_server": b"Echo=>3\n at ", "class_server": b"Echo=>3\n at ", "cas_server": b"Bad Syntax\n",
         "bytes_server": rb"\*{3}", "bytes_server_prethreaded": rb"\*{3}"}  # fmt: skip
POOLS = ("upper_server_lock", "upper_server_pool", "upper_server_slow_pool", "bytes_server_prethreaded")


@check(points=3, read="a-thread-for-each-client", causes=SERVERS)
def test_each_client_has_a_thread(lab: Lab) -> None:
    """A silent client is silent in a thread of its own: the others are served, and its end is that
    thread's end."""
    server = lab.server("upper_server")
    ann, bob, cat = server.connect_all("ann", "bob", "cat")
    threaded(server, 3, cause="one_after_the_other")
    for client in (cat, bob):
        client.send(b"me first\n")
        client.expect(b"ME FIRST\n", cause="one_after_the_other")
    ann.send(b"the last words\n")
    ann.half_close()
    ann.expect(b"THE LAST WORDS\n")
    ann.expect_eof(cause="descriptor_leak")
    threaded(server, 2, cause="thread_leak")
    server.expect_idle()


@check(points=3, read="whose-connection", causes=SERVERS)
def test_what_threads_use_is_their_own_or_locked(lab: Lab) -> None:
    """A thread may run long after its start, when what it refers to is another client's: it needs its own
    copy."""
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
    expect(
        grown < 4 << 20, "no memory is left over", cause="thread_leak", otherwise=f"{grown >> 10} KiB more"
    )


@check(points=1, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_fifteen_hundred_clients_leave_nothing_behind(lab: Lab) -> None:
    """A thread that has ended and was neither joined nor detached keeps its stack."""
    come_and_go(lab.server("cas_server", variant=""), 1500, b"0 0\n", b"0\n")


@check(points=0, read="whose-connection", causes=BROKEN)
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
        wait_until(lambda: server.stdout.text.count("\nconnected") == 2, "bob is in the log")  # noqa: B023
        threaded(server, 2)
        ann.send(b"two")
        bob.expect(b"TWO", cause="not_broken")
        expect(not ann.unread(), "ann got nothing")
        server.stop()


@check(points=2, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_no_client_ends_the_server(lab: Lab) -> None:
    """A reset, a close with replies unread, a visit without a word: each ends one connection, and nothing
    else."""
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


@check(points=2, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_a_thread_that_cannot_be_started_costs_one_client(lab: Lab) -> None:
    """Thread creation can fail, for a limit or for memory: that client is turned away, and the server goes
    on. But a program that needs several threads does not begin with fewer: it ends."""
    for name, words in (("upper_server", []), ("upper_server_graceful", []), ("cas_server", []),
                        ("class_server", ["-d", "0"])):  # fmt: skip
        server = lab.server(name, *words, faults={"thread": 1})
        ann = server.connect("ann")
        ann.expect_eof(cause="no_thread_unnoticed")
        pattern = rf"^{name}: .*Resource temporarily unavailable"
        server.expect_match(pattern, stream="stderr", cause="no_thread_unnoticed")
        bob = server.connect("bob")
        threaded(server, 1)
        bob.close()
        threaded(server, 0)
    several = [f"{name} -p 0" for name in POOLS]
    several += ["thread_hello", "event", "condition", "multiprint_polling"]
    for name in several:
        run = lab.run(*name.split(), "-n", "4", faults={"threads": 2}).expect_status(1)
        run.expect_match("Resource temporarily unavailable", stream="stderr")


@check(points=1, read="the-end-of-a-server", causes=SERVERS, after="each_client_has_a_thread")
def test_servers_end_at_once_with_clients_connected(lab: Lab) -> None:
    """Threads still work when the process ends: nothing that they use may be destroyed under them."""
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


@check(
    points=1, read="a-thread-for-each-client", causes=SERVERS, hidden=True, after="each_client_has_a_thread"
)
def test_ten_thousand_clients_leave_nothing_behind(lab: Lab) -> None:
    """What is lost once per client ends a server after days; here after seconds."""
    come_and_go(lab.server("upper_server", variant=""), 10_000, b"x", b"X")


# --- echo, cas, bytes, classes


@check(points=1, read="a-thread-for-each-client", causes=SERVERS)
def test_work_for_one_client_holds_up_no_other(lab: Lab) -> None:
    """The work for five clients is done at the same time, each in its thread; then each gets its own echo."""
    server = lab.server("echo_server", "-d", "1")
    clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
    for client in clients:
        client.send(client.name.encode())
    threaded(server, 5, cause="one_after_the_other")
    for client in clients:
        client.expect_match(rb"Echo=>" + client.name.encode() + rb" at " + DATE + rb"\Z")
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
        wait_until(lambda: not server.children(), "no child is left")  # noqa: B023


@check(points=4, read="one-register", causes=REGISTER)
def test_swaps_of_two_threads_are_never_one(lab: Lab) -> None:
    """Two clients swap in turn. Without a lock between their threads that is a race, however slowly they
    do it."""
    server = lab.server("cas_server", variant="tsan")
    ann, bob = server.connect_all("ann", "bob")
    for client, line, reply in (
        (ann, b"0 1\n", b"0\n"), (bob, b"1 2\n", b"1\n"), (ann, b"2 3\n0 0\n", b"2\n3\n"),
        (bob, b"nine\n3 ", b"Bad Syntax\n"), (bob, b"18446744073709551616\n", b"Out of Range\n"),
    ):  # fmt: skip
        client.send(line)
        client.expect(reply)
        server.expect_alive()
    cat = server.connect("cat")
    cat.send(b"9" * 70_000)
    cat.expect(b"Line too long\n")
    cat.expect_eof()
    server.stop()


@check(points=2, read="one-register", causes=REGISTER)
def test_sixteen_clients_count_to_eight_thousand(lab: Lab) -> None:
    """Each adds 500 by compare and swap, and tries again when another was faster: no step is lost or made
    twice."""
    count_together(lab.server("cas_server"))


@check(points=1, read="what-a-thread-costs")
def test_bytes_servers_send_as_many_as_were_asked_for(lab: Lab) -> None:
    """A line with a number, so many bytes, the end: also if the line comes in pieces, or another client reads
    nothing."""
    for name in ("bytes_server", "bytes_server_prethreaded"):
        server = lab.server(name, variant="")
        slow = server.connect("a slow client", receive_buffer=4096)
        slow.send(b"1073741824\n")
        for request, reply in (
            (b"1\n", b"*"), (b"007\n", b"*" * 7), (b"200000\nand more", b"*" * 200_000),
            (b"0\n", b"Bad Request\n"), (b"-1\n", b"Bad Request\n"), (b"1073741825\n", b"Bad Request\n"),
            (b"1" * 70_000, b"Line too long\n"),
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
        memory = kernel.memory(server.pid)
        expect(memory < 32 << 20, "the server has less than 32 MiB", otherwise=f"{memory >> 20} MiB")


def full_or_dead(server: Server) -> bool:
    return len(server.descriptors()) == 16 or server.status() is not None


@check(points=2, read="no-descriptor-left", causes=FULL | SERVERS, after="each_client_has_a_thread")
def test_a_full_server_rests(lab: Lab) -> None:
    """A client for which no descriptor is left stays in the backlog. accept fails, and would fail
    again at once: the server says so once, rests, serves the others, and takes the client later."""
    for name, words in SERVING:
        many = ["-n", "20"] if name in POOLS else []
        # Not sanitized: a sanitizer needs descriptors, too.
        server = lab.server(name, *words, *many, descriptors=16, variant="")
        clients = server.connect_all(*(f"client {number}" for number in range(1, 15)))
        wait_until(partial(full_or_dead, server), "it has used all its descriptors",
                   cause="lock_held_while_serving" if many else None)  # fmt: skip
        server.expect_alive()
        clients[-1].expect_waiting()
        server.expect_match(rf"^{name}: accept: Too many open files$", stream="stderr", cause="full_unsaid")
        server.expect_idle(cause="spins_when_full")
        clients[0].send(b"3\n")
        clients[0].expect_match(THREE.get(name, b"3\n"), cause="full_serves_nobody")
        said = server.stderr.text.count("Too many open files")
        expect(said == 1, "it has said so once", cause="full_said_again", otherwise=f"{said} times")
        for client in clients[:4]:
            client.close()
        clients[-1].send(b"3\n")
        clients[-1].expect_match(THREE.get(name, b"3\n"), cause="never_again")
        server.stop()
        # The whole system has no descriptor.
        server = lab.server(name, *words, faults={"accept": 1})
        if name in ("upper_server_graceful", "upper_server_slow_pool"):
            server.connect("ann")
        server.expect_match(r"accept: Too many open files in system$", stream="stderr", cause="full_unsaid")
        server.expect_idle(cause="spins_when_full")
        server.stop()


@check(points=0, read="what-a-thread-costs")
def test_spawn_cost_measures_both(lab: Lab) -> None:
    """The ratio of a process's cost to a thread's depends on the memory that the process uses: look
    yourself."""
    run = lab.run("spawn_cost", "-n", "5").expect_status(0)
    for memory in (0, 1, 10, 100):
        run.expect_match(rf"^ +{memory} MiB +\d+ us +\d+ us +\d+$")
    wrong = lab.run("spawn_cost", "-n", "none").expect_status(2)
    wrong.expect_match(r"^usage: spawn_cost \[-n TIMES\]$", stream="stderr")
