"""What is true of lab06's servers with a fixed number of threads, and of the one that ends cleanly."""

from __future__ import annotations

import signal
from functools import partial

from labkit import CouldNotTell, Lab, Server, check, expect, kernel, show, step, wait_until
from labkit.client import Peer
from labkit.instructions import holding
from labkit.short_sends import send_ends_early
from labkit.steps import if_silent
from labkit.threads import expect_gone, threaded
from labkit.waiting import allowing, deadline, machine_is_well, poll

LINGERING = 2.0  # seconds that a client which does not read may keep the server

POOL = {
    "pool_size": "The pool does not have as many threads as -n says.",
    "pool_shrinks": "A client's error has cost the pool a thread: no other thread takes its place.",
    "pool_grows": "More clients are served at once than the pool has threads.",
    "lock_held_while_serving": "The thread kept the accept lock while it served its client: no other can "
    "accept.",
    "serves_where_it_accepts": "While one client is served no other is accepted: the thread that accepts "
    "must do nothing else.",
    "no_backpressure": "The server accepts more clients than it may while its threads are busy: bound the "
    "queue, by -n.",
    "closed_twice": "A connection ended although neither its client nor its thread has closed it. Was a "
    "descriptor closed twice? Its number may be the next client's by then.",
    "out_of_turn": "A client that came later was served first: the queue must be first in, first out.",
    "turned_away": "A client that came while the pool was busy was turned away: it must wait.",
    "kept_open": "A client has sent its end of file, and its connection stays open until its thread has the "
    "next client, or for ever: close it before the thread waits again.",
    "spins_when_full": "While the pool is busy the server uses the CPU: it must sleep until there is room.",
}
END = {
    "one_after_the_other_cut_off": "The time for one client began when that of the client before it was "
    "over: all "
    "have the same two seconds.",
    "not_told": "At the end of the server a client was not told: it must get `Goodbye` and then the end of "
    "file.",
    "reply_lost": "At the end of the server a client lost the reply to what it had sent before.",
    "patience_begins_anew": "Whenever a client had gone, the two seconds began anew for those that do not "
    "read: compute the deadline once.",
    "second_signal_kills": "A second signal met no handler, and ended the server before it had told its "
    "clients: the handler has to stay (no SA_RESETHAND).",
    "not_joined": "The server ended before the threads of its clients had: join every thread.",
    "end_not_logged": "Some clients have connected, and the log does not say that they have disconnected: "
    "their threads were not joined before the end, or do not log the end of a connection that an error has "
    "ended.",
    "still_accepts": "The server went on accepting clients after it was told to end.",
    "one_keeps_the_server": "A client that does not read, or a silent one, keeps the server from ending.",
    "descriptor_leak": "A connection stays open after its client has gone, until the next client comes or "
    "for ever.",
}
SLOW = {
    "loop_works": "The loop itself worked, or waited for the pool: meanwhile it serves no client.",
    "one_after_the_other": "The requests of several clients were worked on one after the other: hand each "
    "to the pool.",
    "lost_wakeup": "A reply was ready, or there was room in the queue, and the loop slept on: wake it by "
    "the eventfd.",
    "spins": "The loop does not sleep: read the eventfd, and do not watch a client whose request is at "
    "work; poll "
    "reports its hang-up whatever it is watched for.",
    "no_backpressure": "Requests are taken without bound while the pool is busy.",
    "wrong_client": "A client got the reply to the request of another one, which had gone: its place is "
    "the next client's by then. Keep it until its reply has come.",
    "out_of_order": "A client's replies did not come in the order of its requests, or not all came.",
    "starves": "A client's request waited until all requests of others were served: take the clients in "
    "turn.",
}
ASKING = (
    ("upper_server_pool", b"hello\n", b"HELLO\n"),
    ("upper_server_lock", b"hello\n", b"HELLO\n"),
    ("bytes_server_prethreaded", b"3\n", b"***"),
)


@check(points=2, read="pools", causes=POOL)
def test_the_next_client_waits_until_a_thread_is_free(lab: Lab) -> None:
    """A pool of two serves two at a time; the third client is connected, waits, and is then served like any
    other."""
    for name, ask, answer in ASKING:
        alone = "serves_where_it_accepts" if name == "upper_server_pool" else "lock_held_while_serving"
        server = lab.server(name, "-n", "2")
        threaded(server, 2, cause="pool_size")
        ann, bob = server.connect_all("ann", "bob")
        for client in (bob, ann):
            client.expect_accepted(cause=alone)
        server.expect_at_rest()
        cat = server.connect("cat")
        cat.send(ask)
        bob.send(ask)
        bob.expect(answer, cause=alone)
        if name != "bytes_server_prethreaded":
            server.expect_at_rest()
            expect(not cat.unread(), "cat, the third, has no answer yet", cause="pool_grows")
            expect(not cat.eof, "cat's connection is still open", cause="turned_away")
            ann.close()
        cat.expect(answer, cause=lambda: "pool_shrinks" if server.threads() < 3 else None)
        threaded(server, 2, cause=lambda: "pool_grows" if server.threads() > 3 else "pool_shrinks")
        cat.half_close()
        cat.expect_eof(cause="kept_open")


@check(points=1, read="pools", causes=POOL)
def test_what_the_threads_of_a_pool_use_is_their_own_or_locked(lab: Lab) -> None:
    """Two threads serve at the same time: a buffer that both use would mix their clients' bytes."""
    server = lab.server("upper_server_pool", variant="tsan")
    threaded(server, 5, cause="pool_size")
    ann, bob = server.connect_all("ann", "bob")
    for client in (bob, ann):
        client.send(b"1 2\n")
        client.expect(b"1 2\n")
    ann.half_close()
    ann.expect_eof(cause="kept_open")
    cat = server.connect("cat")
    for client in (cat, bob):
        client.send(b"3 4\n")
        client.expect(b"3 4\n")
    server.stop()


@check(points=2, read="pools", causes=POOL, after="the_next_client_waits_until_a_thread_is_free")
def test_no_client_shrinks_the_pool(lab: Lab) -> None:
    """No client can end a thread of the pool: after three clients with errors, four clients are still served
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
            client.expect(answer, cause=if_silent("pool_shrinks"))


def why_not(client: Peer, later: list[Peer]) -> str | None:
    """The cause why a client that waited, and whose turn has come, has no answer."""
    if client.eof or client.error:
        return "turned_away"
    return "out_of_turn" if any(other.unread() for other in later) else None


@check(points=2, read="pools", causes=POOL, after="the_next_client_waits_until_a_thread_is_free")
def test_a_busy_pool_accepts_no_more_than_its_queue_holds(lab: Lab) -> None:
    """Backpressure: two are served, two wait in the queue, one for room in it; the others stay in the
    backlog. They are served in the order in which they came."""
    server = lab.server("upper_server_pool", "-n", "2")
    before = len(server.descriptors())
    clients = server.connect_all(*(f"client {number}" for number in range(1, 21)))
    for client in clients:
        client.send(client.name.encode())
    for client in clients[3:12:4]:
        client.half_close()  # they still want their replies
    for client in clients[:2]:
        client.expect(client.name.upper().encode())
    server.expect_at_rest()
    held = len(server.descriptors()) - before
    expect(
        held <= 5, "at most five connections are accepted", cause="no_backpressure", otherwise=f"{held} are"
    )
    server.expect_idle(cause="spins_when_full")
    # The client for whom there is no room waits for it without a limit of time.
    server.expect_asleep(
        cause=lambda: "turned_away" if any(one.eof for one in clients) else "wakes_for_nothing"
    )
    for number, client in enumerate(clients[2:]):
        clients[number].close()
        client.expect(client.name.upper().encode(), cause=partial(why_not, client, clients[number + 3 :]))
    server.stop()


@check(points=1, read="pools", causes=POOL, after="the_next_client_waits_until_a_thread_is_free")
def test_clients_that_overlap_get_their_own_replies(lab: Lab) -> None:
    """Clients come while others go, eight at a time: each connection is one client's, from its beginning
    to its end."""
    for name in ("upper_server_pool", "upper_server", "upper_server_graceful", "upper_server_slow_pool"):
        server = lab.server(name, variant="", faults={"close": 1})
        ann = server.connect("ann")
        ann.send(b"ann")
        ann.expect(b"ANN")
        ann.half_close()
        ann.expect_eof()
        wait_until(lambda: "\ndisconnected" in server.stdout.text, "the log says that ann has gone")
        server.expect_at_rest()
        twice = "close: Bad file descriptor" in server.stderr.text
        expect(not twice, "it has closed no descriptor that was not open", cause="closed_twice")
        server.stop()
    for name in ("upper_server_pool", "upper_server"):
        server = lab.server(name, *(["-n", "8"] if "pool" in name else []), variant="")
        with step(f"200 clients of {name} overlap, eight at a time", quiet=True):
            here: list[Peer] = []
            for number in range(200):
                client = server.connect(f"client {number}")
                client.send(client.name.encode())
                here.append(client)
                if len(here) == 8:
                    oldest = here.pop(0)
                    oldest.expect(oldest.name.upper().encode(), cause="closed_twice")
                    oldest.close()
        server.stop()


# --- a clean end


def ended(server: Server) -> None:
    """Waits for the end, with status 0; the last line is `Exiting`, after all the clients' ends."""
    with allowing(2 * LINGERING):
        server.expect_exit(0, cause="one_keeps_the_server")
    lines = server.stdout.text.splitlines()
    expect(
        lines[-1] == "Exiting" and lines.count("Exiting") == 1,
        "the last line is `Exiting`, once",
        cause="not_joined",
        otherwise=lines[-1],
    )
    came, went = (sum(line.startswith(word) for line in lines) for word in ("connected", "disconnected"))
    what = "each client that has connected is said to have disconnected"
    expect(came == went, what, cause="end_not_logged", otherwise=f"{went} of {came} are")


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
        dan.expect_eof(cause={"behaviour": "descriptor_leak"})
        threaded(server, 3)
        wait_until(
            lambda: len(server.descriptors()) <= 8, "dan's connection is closed", cause="descriptor_leak"
        )
        ann.send(b"hello\n")
        ann.expect(b"HELLO\n")
        server.expect_at_rest()
        if variant is None:
            with server.paused():
                bob.send(b"the last words\n")
                server.send_signal(number)
            bob.expect(b"THE LAST WORDS\n", cause="reply_lost")
        else:
            # ThreadSanitizer holds back a signal that comes just before a system call.
            server.send_signal(number)
        for client in (bob, ann, cat):
            client.expect(b"Goodbye\n", cause="not_told")
            client.expect_eof(cause="not_told")
        ended(server)


@check(
    points=2,
    read="a-clean-end",
    causes=END,
    after="at_a_clean_end_each_client_is_told_and_each_thread_joined",
    slow=True,
)
def test_no_client_keeps_the_server_from_its_end(lab: Lab) -> None:
    """A client that asks for much and reads nothing is cut off in the end: the others still get their
    Goodbye."""
    server = lab.server("upper_server_graceful")
    rude = [server.connect(f"rude {number}", receive_buffer=4096) for number in range(1, 11)]
    bob = server.connect("bob")
    for client in rude:
        client.send_unread(b"a" * 30_000_000)
    threaded(server, 11)
    server.send_signal(signal.SIGTERM)
    bob.expect(b"Goodbye\n", cause="not_told")
    bob.expect_eof(cause="not_told")
    server.send_signal(signal.SIGTERM)

    def gone() -> int:
        return 11 if server.status() is not None else server.stdout.text.count("\ndisconnected ")

    late = 0
    with step("some of them begin to read after all, one by one, until one is cut off", quiet=True):
        while late < 7 and not poll(lambda: gone() > 1 + late, deadline() / 5):
            rude[late].read_to_eof()
            late += 1
            wait_until(lambda: gone() > late, f"rude {late} has gone")
    alive = server.status() in (None, 0)
    what = "the server goes on, although it got the signal twice"
    expect(alive, what, otherwise=f"it ended with {server.status()}", cause="second_signal_kills")
    wait_until(lambda: gone() > 1 + late, "the first rude client is cut off", cause="one_keeps_the_server")
    if late == 7:
        together = poll(lambda: gone() == 11, deadline() / 4)
        if not machine_is_well():
            raise CouldNotTell("the machine is too busy to say when the server's patience ended")
        cause = "patience_begins_anew" if together else "one_after_the_other_cut_off"
        raise server.failure("none was cut off as long as others went", cause=cause)
    wait_until(
        lambda: gone() == 11,
        "all of them are: the two seconds are the same for all",
        cause="one_after_the_other_cut_off",
        instead=lambda: f"{gone() - 1} of 10",
    )
    ended(server)


# --- slow requests


def unread(server: Server, clients: list[Peer]) -> int:
    """How many of the clients have sent something that the server has not read."""
    ports = {client.local_port for client in clients}
    sockets = kernel.own_sockets(server.pid)
    return sum(entry.unread > 0 for entry in sockets if entry.peer_port in ports)


@check(points=2, read="slow-requests", causes=SLOW)
def test_slow_requests_are_at_work_at_the_same_time(lab: Lab) -> None:
    """Three requests take an hour each, in three threads; the loop goes on. A reply wakes it, and it
    sleeps again."""
    server = lab.server("upper_server_slow_pool", "-d", "3600", "-n", "3")
    threaded(server, 3, cause="one_after_the_other")
    clients = server.connect_all("ann", "bob", "cat")
    for client in clients:
        client.expect_accepted(cause="loop_works")
        client.send(client.name.encode())
    server.connect("dan").expect_accepted(cause="loop_works")
    what = "the server has read all requests"
    wait_until(lambda: unread(server, clients) == 0, what, cause="one_after_the_other")
    server.expect_idle(cause="spins")
    server.stop()
    server = lab.server("upper_server_slow_pool", "-d", "0.3", "-n", "5")
    threaded(server, 5, cause="one_after_the_other")
    workers = [thread for thread in kernel.thread_ids(server.pid) if thread != server.pid]
    clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
    for client in clients:
        client.send(client.name.encode())
    wait_until(lambda: unread(server, clients) == 0, what, cause="one_after_the_other")
    with step("the loop is held until all five are done: five wake-ups are one"), holding(server.pid):
        wait_until(
            lambda: all("futex" in kernel.waiting_in(worker) for worker in workers), "the threads wait"
        )
    for client in clients:
        client.expect(client.name.upper().encode(), cause=if_silent("lost_wakeup"))
    server.stop()
    for variant in (None, "tsan"):
        server = lab.server("upper_server_slow_pool", "-d", "0.05", "-n", "2", variant=variant)
        clients = server.connect_all("ann", "bob", "cat", "dan", "eve")
        for turn in ("one", "two"):
            for client in clients:
                client.send(f"{client.name} {turn}\n".encode())
            for client in clients:
                reply = f"{client.name} {turn}\n".upper().encode()
                client.expect(reply, cause=if_silent("lost_wakeup"))
        server.expect_idle(cause="spins")
        server.stop()


@check(points=1, read="slow-requests", causes=SLOW, after="slow_requests_are_at_work_at_the_same_time")
def test_a_busy_pool_reads_no_more_than_its_queue_holds(lab: Lab) -> None:
    """Backpressure: two requests are at work, two wait in the queue, and the others are not read; clients are
    still accepted. When the pool is free again, each gets its turn."""
    server = lab.server("upper_server_slow_pool", "-d", "3600", "-n", "2")
    clients = server.connect_all(*(f"client {number}" for number in range(1, 13)))
    for client in clients:
        client.expect_accepted(cause="loop_works")
        client.send(client.name.encode())
    wait_until(
        lambda: unread(server, clients) <= 8,
        "four requests are read",
        cause="lost_wakeup",
        instead=lambda: f"{12 - unread(server, clients)} are",
    )
    server.connect("dan").expect_accepted(cause="loop_works")
    server.expect_at_rest()
    left = unread(server, clients)
    expect(left >= 8, "the other eight are not", cause="no_backpressure", otherwise=f"{left} are not")
    server.expect_idle(cause="spins")
    server.stop()
    server = lab.server("upper_server_slow_pool", "-d", "0.02", "-n", "1", faults={"recv": 7})
    busy = server.connect_all("ann", "bob", "dan", "eve")
    cat = server.connect("cat")
    for client in busy:
        client.send(b"request" * 60)
    for client in busy:
        client.expect(b"REQUEST", cause=if_silent("lost_wakeup"))
    cat.send(b"me, too")
    cat.expect(b"ME, TOO", cause=if_silent("starves"))
    got = [len(client.unread()) + 7 for client in busy]
    expect(max(got) < 420, "meanwhile none of the others has got all its replies", cause="starves")


@check(points=2, read="slow-requests", causes=SLOW, after="slow_requests_are_at_work_at_the_same_time")
def test_replies_keep_the_order_of_the_requests(lab: Lab) -> None:
    """A client sends many requests and waits for no reply. Eight threads work on them, and none overtakes
    another."""
    server = lab.server("upper_server_slow_pool", "-d", "0", "-n", "8", faults={"recv": 7, "send": 5})
    ann, bob = server.connect_all("ann", "bob")
    many = b"".join(b"%06d\n" % number for number in range(1000))
    for client in (ann, bob):
        client.send(many)
    ann.half_close()
    for client in (ann, bob):
        client.expect(many, cause={"bytes": "out_of_order"})
    ann.expect_eof(cause={"bytes": "out_of_order"})
    server.stop()
    # The same when the kernel itself takes a part of a send, or nothing.
    server = lab.server("upper_server_slow_pool", "-d", "0", "-n", "8")
    sent, got = send_ends_early(server, b"".join(b"%063d\n" % number for number in range(312_500)))
    back = f"all {len(sent)} bytes come back, in order"
    expect(got == sent, back, otherwise=f"{len(got)} bytes", cause="out_of_order")
    server.stop()
    server = lab.server("upper_server_slow_pool", "-d", "1", "-n", "2")

    def at_work() -> list[int]:
        return [one for one in kernel.thread_ids(server.pid) if "nanosleep" in kernel.waiting_in(one)]

    ann, bob = server.connect_all("ann", "bob")
    ann.send(b"one")
    wait_until(lambda: unread(server, [ann]) == 0, "ann's request is at work")
    busy = wait_until(at_work, "a thread works")[0]
    with step("the thread that works on ann's first request is held"), holding(busy):
        ann.send(b"two")
        bob.send(b"bob")
        bob.expect(b"BOB", cause=if_silent("one_after_the_other"))
        early = ann.unread()
        expect(not early, "no reply overtakes ann's first one", otherwise=show(early), cause="out_of_order")
    ann.expect(b"ONE", cause={"bytes": "out_of_order"})
    ann.expect(b"TWO", cause={"bytes": "out_of_order"})
    server.stop()


@check(points=1, read="slow-requests", causes=SLOW, after="slow_requests_are_at_work_at_the_same_time")
def test_a_client_may_go_while_its_request_is_at_work(lab: Lab) -> None:
    """Its reply goes to no other client, the loop does not spin meanwhile, and its descriptor is closed in
    the end."""
    server = lab.server("upper_server_slow_pool", "-d", "3600", "-n", "1")
    ann = server.connect("ann")
    ann.send(b"ann's request")
    wait_until(lambda: unread(server, [ann]) == 0, "ann's request is at work")
    ann.reset()
    server.expect_idle(cause="spins")
    bob, cat = server.connect_all("bob", "cat")
    bob.send(b"bob's request")
    wait_until(lambda: unread(server, [bob]) == 0, "bob's request waits: there is no room for another")
    cat.send(b"cat's request")
    for client in (bob, cat):
        client.expect_accepted(cause="loop_works")
        client.reset()
    server.expect_idle(cause="spins")
    server.stop()
    server = lab.server("upper_server_slow_pool", "-d", "0.3", "-n", "1")
    before = len(server.descriptors())
    ann = server.connect("ann")
    ann.send(b"ann's request")
    wait_until(lambda: unread(server, [ann]) == 0, "ann's request is at work")
    ann.reset()
    bob = server.connect("bob")
    bob.send(b"bob's request")
    bob.expect(b"BOB'S REQUEST", cause={"bytes": "wrong_client"})
    wait_until(lambda: len(server.descriptors()) == before + 1, "ann's connection is closed")
    server.expect_alive()
    server.stop()
    server = lab.server("upper_server_slow_pool", "-d", "0", "-n", "2")
    eve, bob = server.connect_all("eve", "bob")
    taken = eve.send_unread(b"e" * 20_000_000)
    server.expect_idle(cause="spins")
    bob.send(b"bob is served")
    bob.expect(b"BOB IS SERVED", cause="loop_works")
    eve.expect(b"E" * taken, cause={"bytes": "out_of_order"})
    fay = server.connect("fay")
    fay.send_unread(b"f" * 20_000_000)
    fay.reset()
    server.expect_logged("disconnected", fay)
    gus = server.connect("gus")
    gus.send(b"mine")
    gus.expect(b"MINE", cause={"bytes": "wrong_client"})
