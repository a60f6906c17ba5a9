"""What is true of lab06's servers with a fixed number of threads, and of the one that ends cleanly."""

from __future__ import annotations

import signal

from labkit import Lab, Server, check, expect, kernel, step, wait_until
from labkit.threads import expect_gone, threaded

POOL = {
    "pool_shrinks": "A client's error has cost the pool a thread: it is missing ever after.",
    "pool_grows": "More clients are served at once than the pool has threads.",
    "lock_held_while_serving": "The thread kept the accept lock while it served its client: no other can "
    "accept.",
    "no_backpressure": "The server accepts clients without bound while its threads are busy: bound the "
    "queue.",
    "turned_away": "A client that came while the pool was busy was turned away: it must wait.",
    "spins_when_full": "While the pool is busy the server uses the CPU: it must sleep until there is room.",
}
END = {
    "not_told": "At the end of the server a client was not told: it must get `Goodbye` and then the end of "
    "file.",
    "reply_lost": "At the end of the server a client lost the reply to what it had sent before.",
    "not_joined": "The server ended before the threads of its clients had: join every thread.",
    "still_accepts": "The server went on accepting clients after it was told to end.",
    "one_keeps_the_server": "A client that does not read, or a silent one, keeps the server from ending.",
    "descriptor_leak": "A connection stays open after its client has gone, until the next client comes or "
    "for ever.",
}
ASKING = (("upper_server_pool", b"hello\n", b"HELLO\n"), ("upper_server_lock", b"hello\n", b"HELLO\n"),
          ("bytes_server_prethreaded", b"3\n", b"***"))  # fmt: skip


@check(points=3, read="pools", causes=POOL)
def test_the_next_client_waits_until_a_thread_is_free(lab: Lab) -> None:
    """A pool of two serves two at a time; the third is connected, waits, and is then served like any
    other."""
    for name, ask, answer in ASKING:
        server = lab.server(name, "-n", "2")
        threaded(server, 2)
        ann, bob = server.connect_all("ann", "bob")
        for client in (bob, ann):
            client.expect_accepted(cause="lock_held_while_serving")
        server.expect_at_rest()
        cat = server.connect("cat")
        cat.send(ask)
        bob.send(ask)
        bob.expect(answer, cause="lock_held_while_serving")
        if name != "bytes_server_prethreaded":
            server.expect_at_rest()
            expect(not cat.unread(), "cat, the third, has no answer yet", cause="pool_grows")
            expect(not cat.eof, "cat's connection is still open", cause="turned_away")
            ann.close()
        cat.expect(answer)
        threaded(server, 2, cause="pool_grows")


@check(points=3, read="pools", causes=POOL)
def test_no_client_shrinks_the_pool(lab: Lab) -> None:
    """Whatever a client does to its thread, the thread comes back: after three rude ones, four are served
    at once."""
    for name, ask, answer in ASKING:
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


@check(points=3, read="pools", causes=POOL)
def test_a_busy_pool_accepts_no_more_than_its_queue_holds(lab: Lab) -> None:
    """Backpressure: two are served, two wait in the queue, one for room in it; the others stay in the backlog. Each
    is served when its turn comes, in the order of their coming."""
    server = lab.server("upper_server_pool", "-n", "2")
    before = len(server.descriptors())
    clients = server.connect_all(*(f"client {number}" for number in range(1, 21)))
    for client in clients:
        client.send(client.name.encode())
    for client in clients[:2]:
        client.expect(client.name.upper().encode())
    server.expect_at_rest()
    held = len(server.descriptors()) - before
    expect(
        held <= 5, "at most five connections are accepted", cause="no_backpressure", otherwise=f"{held} are"
    )
    server.expect_idle(cause="spins_when_full")
    for gone, client in zip(clients, clients[2:]):
        gone.close()
        client.expect(client.name.upper().encode())
    server.stop()


# --- a clean end


def ended(server: Server) -> None:
    """Waits for the end, with status 0; the last line is `Exiting`, after all the clients' ends."""
    server.expect_exit(0, cause="one_keeps_the_server")
    lines = server.stdout.text.splitlines()
    told = lambda word: sum(line.startswith(word) for line in lines)  # noqa: E731
    expect(lines[-1] == "Exiting" and lines.count("Exiting") == 1, "the last line is `Exiting`, once",
           cause="not_joined", otherwise=lines[-1])  # fmt: skip
    expect(told("connected") == told("disconnected"), "each client that has connected is said to have disconnected",
           cause="not_joined", otherwise=f"{told('disconnected')} of {told('connected')} are")  # fmt: skip


@check(points=3, read="a-clean-end", causes=END)
def test_at_a_clean_end_each_client_is_told_and_each_thread_joined(lab: Lab) -> None:
    """SIGTERM or SIGINT: each client gets the replies to what it has sent, then `Goodbye`, then the end of
    file."""
    for number, variant in ((signal.SIGTERM, None), (signal.SIGINT, "tsan")):
        server = lab.server("upper_server_graceful", variant=variant)
        clients = server.connect_all("ann", "bob", "cat", "dan")
        threaded(server, 4)
        ann, bob, cat, dan = clients
        dan.half_close()
        dan.expect_eof(cause="descriptor_leak")
        threaded(server, 3)
        wait_until(
            lambda: len(server.descriptors()) <= 8, "dan's connection is closed", cause="descriptor_leak"
        )  # noqa: B023
        ann.send(b"hello\n")
        ann.expect(b"HELLO\n")
        server.expect_at_rest()
        with server.paused():
            bob.send(b"the last words\n")
            server.send_signal(number)
        bob.expect(b"THE LAST WORDS\n", cause="reply_lost")
        for client in (bob, ann, cat):
            client.expect(b"Goodbye\n", cause="not_told")
            client.expect_eof(cause="not_told")
        ended(server)


@check(points=2, read="a-clean-end", causes=END)
def test_no_client_keeps_the_server_from_its_end(lab: Lab) -> None:
    """A client that asks for much and reads nothing is cut off in the end: the others are told all the
    same."""
    server = lab.server("upper_server_graceful")
    ann, bob = server.connect_all("ann", "bob")
    ann.send_unread(b"a" * 30_000_000)
    threaded(server, 2)
    server.send_signal(signal.SIGTERM)
    bob.expect(b"Goodbye\n", cause="not_told")
    bob.expect_eof(cause="not_told")
    ended(server)
