"""What is true of every server of lab06: rude clients, shortages, the end, and what clients leave behind."""

from __future__ import annotations

import signal
from functools import partial

from labkit import Lab, Server, check, expect, kernel, shortage, step, wait_until
from labkit.client import Peer
from labkit.server import ANOTHER_ADDRESS
from labkit.threads import expect_no_wakeups, threaded

SERVERS = {
    "polls": "It wakes up again and again although nothing has happened: wait without a time limit.",
    "thread_leak": "Something of each client's thread is left after its end: join it or detach it.",
    "descriptor_leak": "A connection stays open after its client has gone: which thread owns the descriptor?",
    "log_garbled": "Many clients have gone at once, and not each has its line in the log: threads that "
    "print a line in pieces mix their pieces (std::osyncstream).",
    "no_thread_unnoticed": "A thread could not be started, and the client was not turned away: say the "
    "reason on stderr, and close its connection.",
}
FULL = shortage.CAUSES | {
    "full_serves_nobody": "While no descriptor is left, the clients that have connected are not served.",
}
# Every server of the lab, in the order of its teaching: with words that make it serve at once.
SERVING: tuple[tuple[str, list[str]], ...] = (
    ("upper_server", []),
    ("upper_server_lock", []),
    ("upper_server_pool", []),
    ("upper_server_graceful", []),
    ("upper_server_slow_pool", ["-d", "0"]),
    ("echo_server", ["-d", "0"]),
    ("class_server", ["-d", "0"]),
    ("cas_server", []),
    ("bytes_server", []),
    ("bytes_server_prethreaded", []),
)
THREE = {
    "echo_server": b"Echo=>3\n at ",
    "class_server": b"Echo=>3\n at ",
    "cas_server": b"Bad Syntax\n",
    "bytes_server": rb"\*{3}",
    "bytes_server_prethreaded": rb"\*{3}",
}
POOLS = ("upper_server_lock", "upper_server_pool", "upper_server_slow_pool", "bytes_server_prethreaded")


@check(points=2, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_no_client_ends_the_server(lab: Lab) -> None:
    """A reset, a close with replies unread, a visit without a word: each ends one connection, and nothing
    else."""
    for name, words in SERVING:
        server = lab.server(name, *words)
        server.expect_private()
        ann, bob, cat = server.connect_all("ann", "bob", "cat")
        ann.send(b"1 2\n")
        ann.reset()
        bob.send_unread(b"9000000\n" * 1000)
        bob.close()
        cat.close()
        server.expect_all_logged_gone()
        server.expect_alive()
        dan = server.connect("dan")
        dan.send(b"3\n")
        if name != "upper_server_slow_pool":  # a reply is not always under way when all its threads sleep
            dan.expect_prompt()
        dan.expect_match(THREE.get(name, b"3\n"))
        server.stop()
        server = shortage.after_one_that_has_gone(lab, name, *words, "-a", ANOTHER_ADDRESS)
        dan = server.connect("dan")
        dan.send(b"3\n")
        dan.expect_match(THREE.get(name, b"3\n"))
        server.stop()


@check(points=2, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_a_thread_that_cannot_be_started_costs_one_client(lab: Lab) -> None:
    """Thread creation can fail, for a limit or for memory: that client is turned away, and the server goes
    on. But a program that needs several threads does not begin with fewer: it ends."""
    for name, words in SERVING:
        if name in POOLS:
            continue
        server = lab.server(name, *words, faults={"thread": 1})
        ann = server.connect("ann")
        ann.expect_eof(cause="no_thread_unnoticed")
        pattern = rf"^{name}: .*Resource temporarily unavailable"
        server.expect_match(pattern, stream="stderr", cause="no_thread_unnoticed")
        server.expect_all_logged_gone(cause="turned_away_unlogged")
        bob = server.connect("bob")
        threaded(server, 1)
        bob.close()
        threaded(server, 0)
        told_again = rf"(?s)({pattern}.*){{2}}"
        shortage.turns_one_away(server, told_again, ("no_thread_unnoticed", "no_thread_unnoticed"))
        server.expect_all_logged_gone(cause="turned_away_unlogged")
    several = [f"{name} -p 0" for name in POOLS]
    several += ["thread_hello", "event", "condition"]
    several += ["multiprint_polling", "multiprint_condition", "multiprint_queue"]
    for line in several:
        name, *words = line.split()
        run = lab.run(name, *words, "-n", "4", faults={"threads": 2}, endless="fewer_threads")
        run.expect_status(1, cause="fewer_threads")
        run.expect_match("Resource temporarily unavailable", stream="stderr")


def full_or_dead(server: Server) -> bool:
    return len(server.descriptors()) == 16 or server.status() is not None


@check(points=2, read="no-descriptor-left", causes=FULL, after="each_client_has_a_thread", slow=True)
def test_a_full_server_rests(lab: Lab) -> None:
    """A client for which no descriptor is left stays in the backlog. accept fails, and would fail again at
    once: the server says so once, rests, serves the others, and takes the client later."""
    waiting: list[tuple[Server, Peer]] = []
    for name, words in SERVING:
        many = ["-n", "20"] if name in POOLS else []
        # Not sanitized: a sanitizer needs descriptors, too.
        server = lab.server(name, *words, *many, descriptors=16, variant="")
        clients = server.connect_all(*(f"client {number} of {name}" for number in range(1, 15)))
        wait_until(partial(full_or_dead, server), "it has used all its descriptors")
        reason = f"{name}: accept: {shortage.REASON}"
        server.expect_idle(cause="spins_when_full")
        shortage.goes_on(server)
        wait_until(
            lambda: reason in server.stderr.text, f"stderr says {reason!r}", cause="accept_failed_silently"
        )
        clients[-1].expect_waiting()
        clients[0].send(b"3\n")
        clients[0].expect_match(THREE.get(name, b"3\n"), cause="full_serves_nobody")
        times = server.stderr.text.count(shortage.REASON)
        expect(times == 1, "it says so once", otherwise=f"{times} times", cause="accept_failed_noisily")
        for client in clients[:4]:
            client.close()
        clients[-1].send(b"3\n")
        waiting.append((server, clients[-1]))
    server = lab.server("upper_server_slow_pool", "-d", "0")
    dan = server.connect("dan")

    def talk() -> None:
        dan.send(b"speaks")
        dan.expect(b"SPEAKS")

    shortage.talk_does_not_prolong_it(server, talk)
    for server, client in waiting:  # each within a second, and all in the same one
        client.expect_match(THREE.get(server.name, b"3\n"), cause="never_again")
        server.stop()


@check(points=1, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_an_idle_server_does_not_wake_up(lab: Lab) -> None:
    """A server with silent clients has nothing to do: it sleeps in one system call, and does not wake up."""
    names = (
        "upper_server",
        "upper_server_pool",
        "upper_server_graceful",
        "upper_server_slow_pool",
        "cas_server",
    )
    servers = [lab.server(name) for name in names]
    for server in servers:
        server.connect_all("ann", "bob")
        wait_until(lambda: server.stdout.text.count("\nconnected") == 2, "both are in the log")
    clock = lab.start("multiprint_polling", stdin=True)
    expect_no_wakeups([*servers], clock, cause="polls")


@check(points=1, read="the-end-of-a-server", causes=SERVERS, after="each_client_has_a_thread", slow=True)
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
    expect(
        server.stdout.text.count("Exiting") == 1,
        "`Exiting` is printed once, for both signals",
        otherwise=f"{server.stdout.text.count('Exiting')} times",
    )


def come_and_go(server: Server, clients: int, request: bytes, reply: bytes) -> None:
    """So many clients, twenty at a time, leave no thread, no descriptor and no memory."""
    before = 0
    with step(f"{clients} clients come and go, twenty at a time", quiet=True):
        for round in range(clients // 20):
            guests = server.connect_all(*["a client"] * 20)
            for guest in guests:
                guest.send(request)
            for guest in guests:
                guest.expect(reply)
                guest.close()
            if round == 10:
                before = kernel.memory(server.pid)
    threaded(server, 0, cause="thread_leak")
    wait_until(
        lambda: len(server.descriptors()) <= 4,
        "no descriptor is left",
        cause="descriptor_leak",
        instead=lambda: f"{len(server.descriptors()) - 4} more",
    )
    grown = kernel.memory(server.pid) - before
    expect(
        grown < 4 << 20, "no memory is left over", cause="thread_leak", otherwise=f"{grown >> 10} KiB more"
    )


@check(points=1, read="a-thread-for-each-client", causes=SERVERS, after="each_client_has_a_thread")
def test_fifteen_hundred_clients_leave_nothing_behind(lab: Lab) -> None:
    """A thread that has ended and was neither joined nor detached keeps its stack."""
    come_and_go(lab.server("cas_server", variant=""), 1500, b"0 0\n", b"0\n")
    for name in ("upper_server", "cas_server"):
        server = lab.server(name, variant="")
        for _ in range(3):
            clients = server.connect_all(*(f"client {number}" for number in range(300)))
            threaded(server, 300)
            with server.paused(), step("all hang up at once", quiet=True):
                for client in clients:
                    client.close()
            server.expect_all_logged_gone(cause="log_garbled")
            threaded(server, 0, cause="thread_leak")


@check(
    points=1,
    read="a-thread-for-each-client",
    causes=SERVERS,
    hidden=True,
    after="each_client_has_a_thread",
    slow=True,
)
def test_ten_thousand_clients_leave_nothing_behind(lab: Lab) -> None:
    """A server that loses something with each client ends after days. Here it ends after seconds."""
    come_and_go(lab.server("upper_server", variant=""), 10_000, b"x", b"X")
