"""What is true of lab05: one process, many clients."""

import signal
from collections.abc import Callable

from labkit import Lab, Server, check, expect, kernel, step, wait_until
from labkit.client import Peer, converse
from labkit.steps import Cause

DATE = rb"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"
MUCH = 50 << 20  # bytes: more than the kernel's buffers hold, by far

LOOP = {
    "not_watched": "A client that has sent something is not served: is its descriptor in the set, and is the number of "
    "descriptors given to select one more than the highest of them?",
    "set_reused": "Only some are served, or only once: select changes the set that it is given, so it needs a new copy "
    "each time.",
    "waits_for_one": "One client that says nothing keeps the server from the others: which call waits for it alone?",
    "not_forgotten": "A descriptor that was closed, or whose client has gone, is still watched: it is ready for ever, or "
    "select fails with EBADF.",
    "set_overflow": "A descriptor from FD_SETSIZE on has no place in a set: FD_SET writes past its end.",
    "refusal_not_said": "The client has to be closed, and the log to say why: `refused HOST:PORT: too many clients`.",
    "none_to_spare": "accept fails for want of a descriptor, and the client that waits makes the listener ready again and "
    "again: keep the last descriptor free, and refuse whoever gets it.",
    "accept_waits": "The server waits in accept for a client that is not there: it may accept one for each time that the "
    "listener is ready, or else the listener must be non-blocking.",
}
WRITES = {
    "send_waits": "A send waits for a client that does not read, and everybody else waits, too: it must not block.",
    "rest_lost": "send took only a part of the reply, and the rest was lost: keep it, and send it later.",
    "never_flushed": "What was kept was not sent when the client could take it again: watch it for writing.",
    "too_much_kept": "What a client does not read grows in the server's memory: do not read from it meanwhile.",
    "watched_in_vain": "A client is watched for what the server does not do now, and is ready for it again and again: "
    "watch for writing only while output waits, for reading only while it would be read.",
    "end_forgets_output": "The client's end of file threw away what it was still to get.",
}
LINES = {
    "one_buffer": "The first half of one client's line was put before another's: each client needs a buffer of its own.",
}
FULL = {
    "spins_when_full": "accept fails for want of a descriptor, and the client that waits makes the listener ready again and "
    "again: stop watching it until a descriptor is free.",
    "never_again": "A descriptor is free again, and the client that waited for one is still not accepted.",
}
EDGES = {
    "not_drained": "Not everything was read that had arrived, and no event comes for what is there already: serve until "
    "recv or send would have to wait, or ask again.",
    "end_missed": "The client's last bytes and its end arrived together: one event for both.",
    "starves": "One client was served until nothing was left of it, while others waited: a bounded piece at a time.",
}


def answers(peer: Peer, text: bytes, cause: Cause = None) -> None:
    """The client gets its text in upper case."""
    peer.send(text, cause=cause)
    peer.expect(text.upper(), cause=cause)


def echoes(peer: Peer, text: bytes, cause: Cause = None) -> None:
    """The client gets its text as the echo service has it."""
    peer.send(text, cause=cause)
    peer.expect_match(rb"Echo=>" + text + rb" at " + DATE, cause=cause)


def unserved(server: Server, cause: str) -> Cause:
    """The cause, unless the server is seen to wait for the next client."""
    return lambda: "accept_waits" if kernel.waiting_in(server.pid) == "inet_csk_accept" else cause


def keeps_little(lab: Lab, server: Server, before: int, taken: int) -> None:
    """The server's memory has not grown with what a client sent and did not read."""
    limit = 64 if lab.builds[lab.name].variant else 2  # a sanitizer keeps what the program frees
    grown = kernel.memory(server.pid) - before
    expect(
        grown < limit << 20,
        f"the server keeps little of the {taken} bytes that it was sent: less than {limit} MiB",
        otherwise=f"it has grown by {grown} bytes",
        cause="too_much_kept",
    )


def nobody_waits_for_a_client_that_does_not_read(lab: Lab, name: str) -> None:
    """The others are served while one stands there with its reply unread; it then gets every byte of it."""
    server = lab.server(name)
    ann, eve = server.connect_all("ann", "eve")
    answers(ann, b"before")
    before = kernel.memory(server.pid)
    taken = eve.send_unread(b"much" * (MUCH // 4))
    answers(ann, b"still here", cause="send_waits")
    bob = server.connect("bob")
    answers(bob, b"me, too", cause="send_waits")
    keeps_little(lab, server, before, taken)
    server.expect_idle(cause="watched_in_vain")
    all_was_read = taken == MUCH  # although not all was sent
    eve.expect(b"MUCH" * (taken // 4) + b"MUCH"[: taken % 4], cause="rest_lost" if all_was_read else "never_flushed")
    answers(eve, b" and more")
    ann.half_close()
    ann.expect_eof()
    answers(bob, b"fine")


def a_full_server_rests(lab: Lab, name: str, answers: Callable[..., None] = answers, variant: str | None = None) -> None:
    """Sixteen descriptors: some clients get one, the others wait in the backlog, and cost nothing."""
    server = lab.server(name, descriptors=16, variant=variant)
    clients = server.connect_all(*(f"client {number}" for number in range(1, 19)))
    for client in clients[:8]:
        answers(client, b"early")
    wait_until(lambda: len(server.descriptors()) == 16, "the server has used all its descriptors")
    clients[17].expect_waiting()
    server.expect_idle(cause="spins_when_full")
    answers(clients[0], b"still served")
    for client in clients[:8]:
        client.close()
    for client in clients[8:]:
        answers(client, b"late", cause="never_again")
    server.expect_idle()
    server.stop()
    server = lab.server(name, faults={"nth_accept": 2}, variant=variant)  # it was the whole system that had none
    ann, bob = server.connect_all("ann", "bob")
    bob.send(b"waits")

    def bob_is_served() -> bytes:
        answers(ann, b"speaks")
        return bob.unread()

    with step("nobody leaves, and ann is never silent", quiet=True):
        wait_until(bob_is_served, "bob is served", cause="never_again")


def ten_thousand_clients(lab: Lab, name: str) -> None:
    """Everyone is connected at the same time, and everyone is answered."""
    server = lab.server(name)
    crowd = server.crowd(10000)
    with step("everyone of them is answered", quiet=True):
        for client in crowd[::100]:
            answers(client, b"hello")
    wait_until(lambda: len(server.descriptors()) >= len(crowd), "the server has a descriptor for each of them")
    with step("half of them hang up", quiet=True):
        for client in crowd[::2]:
            client.close()
    wait_until(lambda: len(server.descriptors()) <= len(crowd) // 2 + 20, "their descriptors are closed")
    answers(crowd[1], b"still here")
    answers(crowd[-1], b"me, too")


# --- busy, and not busy


@check(points=3, read="asking")
def test_the_busy_server_answers_and_never_rests(lab: Lab) -> None:
    """Non-blocking calls let one process serve many clients. Asked in a loop, they also use a whole CPU for nothing."""
    server = lab.server("upper_server_busy")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"one")
    answers(ann, b"two")
    ann.reset()
    answers(bob, b"three")
    server.expect_busy()
    server.stop()


# --- select


@check(points=4, read="select", causes=LOOP)
def test_select_serves_whoever_speaks(lab: Lab) -> None:
    """One loop serves all clients, in whatever order they speak; the log counts them."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.expect_accepted(cause="not_watched")
    server.expect_match(r"^connected 127\.0\.0\.1:\d+\n1 clients connected$")
    answers(ann, b"first", cause=unserved(server, "not_watched"))
    bob, cat = server.connect_all("bob", "cat")
    answers(cat, b"third", cause=unserved(server, "set_reused"))
    answers(ann, b"once more", cause=unserved(server, "set_reused"))
    answers(bob, b"second", cause=unserved(server, "not_watched"))
    server.expect_match(r"^connected 127\.0\.0\.1:\d+\n3 clients connected$")


@check(points=3, read="select", causes=LOOP)
def test_silent_clients_delay_nobody_and_cost_nothing(lab: Lab) -> None:
    """Who says nothing is waited for together with everybody else: that is what select is for, and it uses no CPU."""
    server = lab.server("upper_server")
    server.expect_idle()
    silent = server.connect_all("ann", "bob", "cat")
    dan = server.connect("dan")
    answers(dan, b"and me?", cause="waits_for_one")
    answers(silent[1], b"s", cause="not_watched")
    server.expect_idle()


@check(points=4, read="who-leaves", causes=LOOP)
def test_who_leaves_is_forgotten(lab: Lab) -> None:
    """A connection that has ended is readable for ever: it has to leave the set, or select never waits again."""
    server = lab.server("upper_server")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"hello")
    before = len(server.descriptors())
    ann.half_close()
    ann.expect_eof(cause="not_forgotten")
    answers(bob, b"still here", cause="not_forgotten")
    server.expect_match(r"^disconnected 127\.0\.0\.1:\d+\n1 clients connected$")
    wait_until(lambda: len(server.descriptors()) == before - 1, "ann's descriptor is closed", cause="not_forgotten")
    server.expect_idle(cause="not_forgotten")
    cat = server.connect("cat")
    answers(cat, b"new")


@check(points=3, read="who-leaves", causes=LOOP)
def test_a_reset_ends_one_connection(lab: Lab) -> None:
    """Ready also means: an error waits to be told. It is this client's error, and nobody else's."""
    server = lab.server("upper_server")
    ann, bob = server.connect_all("ann", "bob")
    answers(ann, b"hello")
    answers(bob, b"hello")
    with server.paused():
        ann.send(b"lost")
        ann.reset()
        bob.send(b"here")
        late = server.connect("late")
        late.reset()
    bob.expect(b"HERE", cause="not_forgotten")
    answers(server.connect("cat"), b"new", cause="accept_waits")
    server.expect_idle(cause="not_forgotten")


@check(points=4, read="fd_setsize", causes=LOOP)
def test_select_refuses_whom_its_sets_have_no_room_for(lab: Lab) -> None:
    """A set has FD_SETSIZE places, 1024. A descriptor beyond them must not be put there; its client is told so by the end."""
    server = lab.server("upper_server")
    crowd = server.crowd(1060)
    answers(crowd[0], b"first")
    answers(crowd[999], b"thousandth")
    crowd[1059].read_to_eof(cause="set_overflow")
    server.expect_match(r"^refused 127\.0\.0\.1:\d+: too many clients$", cause="refusal_not_said")
    expect(
        max(server.descriptors()) < 1024,
        "no descriptor from 1024 on stays open",
        otherwise=f"descriptor {max(server.descriptors())}",
        cause="set_overflow",
    )
    answers(crowd[1000], b"still here")
    with step("ten of them hang up", quiet=True):
        for client in crowd[:10]:
            client.close()
    wait_until(lambda: len(server.descriptors()) < 1020, "their descriptors are closed")
    answers(server.connect("late"), b"there is room again")


# --- poll and epoll


@check(points=6, read="writes", causes=WRITES)
def test_poll_waits_for_no_single_client(lab: Lab) -> None:
    """A client that asks for much and reads nothing has only itself to wait for; little is kept for it, and nothing lost."""
    nobody_waits_for_a_client_that_does_not_read(lab, "upper_server_poll")


@check(points=5, read="no-descriptor-left", causes=FULL)
def test_poll_rests_when_it_is_full(lab: Lab) -> None:
    """A client for whom there is no descriptor stays in the backlog, and the listener stays ready: that is no reason to spin."""
    a_full_server_rests(lab, "upper_server_poll")


@check(points=2, read="ten-thousand")
def test_poll_serves_ten_thousand_clients(lab: Lab) -> None:
    """poll has no FD_SETSIZE: its limit is the number of descriptors that the process may have."""
    ten_thousand_clients(lab, "upper_server_poll")


@check(points=3, read="epoll", causes=EDGES)
def test_epoll_answers_everyone(lab: Lab) -> None:
    """Each descriptor is put on the kernel's list once; from then on its events are reported."""
    server = lab.server("upper_server_epoll")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"one")
    answers(ann, b"two")
    answers(bob, b"three")
    ann.reset()
    bob.half_close()
    bob.expect_eof()
    cat = server.connect("cat")
    answers(cat, b"four")
    server.expect_idle()
    server.expect_match(r"(?s)disconnected .*disconnected ")


@check(points=5, read="edges", causes=EDGES)
def test_epoll_drains_what_one_event_has_told(lab: Lab) -> None:
    """An edge is reported once. What has arrived by then is more than one recv takes, and no further event will tell."""
    server = lab.server("upper_server_epoll")
    ann = server.connect("ann")
    answers(ann, b"hello")
    with server.paused():
        ann.send(b"all at once, " * 3500)
    ann.expect(b"ALL AT ONCE, " * 3500, cause="not_drained")
    answers(ann, b".", cause="not_drained")
    server.expect_idle()


@check(points=3, read="edges", causes=EDGES)
def test_epoll_sees_an_end_that_comes_with_the_data(lab: Lab) -> None:
    """Data and end of file, or data and an urgent byte, may arrive as one edge: nothing must be left behind it."""
    server = lab.server("upper_server_epoll")
    ann, bob = server.connect_all("ann", "bob")
    answers(ann, b"hello")
    with server.paused():
        ann.send(b"bye")
        ann.half_close()
    ann.expect(b"BYE", cause="not_drained")
    ann.expect_eof(cause="end_missed")
    answers(bob, b"hello")


@check(points=4, read="fairness", causes=EDGES)
def test_epoll_gives_everyone_a_turn(lab: Lab) -> None:
    """Draining one client without a bound is starving all others: each gets a piece, and then the next one."""
    server = lab.server("upper_server_epoll")
    loud = server.connect("loud")
    answers(loud, b"hello")
    with server.paused():
        loud.send(b"x" * 60000)
        loud.half_close()
        quick = server.connect("quick")
        quick.send(b"y")
        quick.half_close()
    quick.expect(b"Y", cause="starves")
    loud.expect(b"X" * 60000, cause="not_drained")
    loud.expect_eof(cause="end_missed")
    ends = server.expect_match(r"(?s)^disconnected \S+:(\d+)$.*^disconnected \S+:(\d+)$")
    expect(
        int(ends[1]) == quick.local_port,
        "quick, who wanted one byte, was done before loud, who wanted 60 000",
        otherwise="loud was served to its end first",
        cause="starves",
    )


@check(points=5, read="writes", causes=WRITES)
def test_epoll_waits_for_no_single_client(lab: Lab) -> None:
    """What is true of poll is true of epoll: nobody waits for a client that does not read, and nothing is lost."""
    nobody_waits_for_a_client_that_does_not_read(lab, "upper_server_epoll")


@check(points=4, read="no-descriptor-left", causes=FULL)
def test_epoll_rests_when_it_is_full(lab: Lab) -> None:
    """Out of descriptors, an edge-triggered server must remember who waits: nobody will tell it again."""
    a_full_server_rests(lab, "upper_server_epoll")


@check(points=3, read="ten-thousand")
def test_epoll_serves_ten_thousand_clients(lab: Lab) -> None:
    """Ten thousand clients are ten thousand entries on the kernel's list, and no work as long as they are silent."""
    ten_thousand_clients(lab, "upper_server_epoll")


# --- echo


@check(points=3, read="two-listeners")
def test_echo_serves_two_ports(lab: Lab) -> None:
    """A listener is one more descriptor to wait for: one loop may have several."""
    server = lab.server("echo_server", listeners=2)
    expect(len(server.ports) == 2, "it listens on two ports", otherwise=f"on {len(server.ports)}")
    ann = server.connect("ann", port=server.ports[0])
    bob = server.connect("bob", port=server.ports[1])
    silent = server.connect("cat", port=server.ports[0])
    silent.expect_accepted()
    echoes(bob, b"Lancelot")
    echoes(ann, b"Sir")
    ann.half_close()
    ann.expect_eof()
    bob.reset()
    echoes(silent, b"Galahad")
    server.expect_idle()


@check(points=5, read="writes", causes=WRITES)
def test_echo_writes_only_when_the_client_takes_it(lab: Lab) -> None:
    """select tells who can be written, too: so no send ever waits, and who waits for nothing is not watched for writing."""
    server = lab.server("echo_server_writes", listeners=2)
    ann = server.connect("ann")
    echoes(ann, b"hello")
    server.expect_idle(cause="watched_in_vain")
    eve = server.connect("eve")
    before = kernel.memory(server.pid)
    taken = eve.send_unread(b"e" * MUCH)
    echoes(ann, b"still here", cause="send_waits")
    bob = server.connect("bob", port=server.ports[1])
    echoes(bob, b"me, too", cause="send_waits")
    keeps_little(lab, server, before, taken)
    server.expect_idle()
    eve.reset()
    echoes(ann, b"alone again")


@check(points=4, read="writes", causes=WRITES)
def test_echo_loses_nothing_of_what_waits(lab: Lab) -> None:
    """A client that has sent its last has still to get its replies; send may take a few bytes at a time."""
    server = lab.server("echo_server_writes", faults={"send": 7})
    bob = server.connect("bob")
    echoes(bob, b"short pieces", cause="rest_lost")
    ann = server.connect("ann")
    with server.paused():
        ann.send(b"a" * 3000)
        ann.half_close()
    got = ann.read_to_eof(cause="never_flushed")
    expect(
        got.count(b"a") >= 3000,
        "every byte has come back before the end",
        otherwise=f"{got.count(b'a')} of 3000 bytes",
        cause="end_forgets_output",
    )


# --- cas and bytes


@check(points=4, read="no-lock")
def test_one_loop_needs_no_lock(lab: Lab) -> None:
    """Between the comparison and the swap nobody can come: eight clients count to four hundred, and no step is lost."""
    server = lab.server("cas_server")
    clients = server.connect_all(*(f"client {number}" for number in range(1, 9)))
    done = dict.fromkeys((client.name for client in clients), 0)
    guess = dict(done)
    for client in clients:
        client.send(b"0 1\n")

    def reply(client: Peer, line: bytes) -> bytes | None:
        present = int(line)
        if present == guess[client.name]:
            done[client.name] += 1
            if done[client.name] == 50:
                return None
            present += 1
        guess[client.name] = present
        return b"%d %d\n" % (present, present + 1)

    converse(clients, reply, "each of them increments fifty times")
    last = server.connect("last")
    last.send(b"400 0\n")
    last.expect(b"400\n")


@check(points=3, read="no-lock", causes=LINES)
def test_half_a_line_is_kept_for_each_client(lab: Lab) -> None:
    """What a client has sent of its line waits with this client, while others are served."""
    server = lab.server("cas_server")
    ann, bob = server.connect_all("ann", "bob")
    ann.send(b"0 4")
    bob.send(b"0 7\n7 8\nx y\n99999999999999999999 0\n")
    bob.expect(b"0\n7\nBad Syntax\nOut of Range\n", cause={"bytes": "one_buffer"})
    ann.send(b"2\n")
    ann.expect(b"8\n")
    ann.send(b"9" * 70000)
    ann.expect(b"Line too long\n")
    ann.expect_eof()
    bob.send(b"8 0\n")
    bob.expect(b"8\n")


@check(points=4, read="bytes-in-turns", causes=WRITES)
def test_a_gigabyte_that_nobody_reads_stalls_nobody(lab: Lab) -> None:
    """A reply is sent as its client takes it, a piece a turn: how far it has got is data, and little of it."""
    server = lab.server("bytes_server")
    eve = server.connect("eve")
    before = kernel.memory(server.pid)
    eve.send(b"1073741824\n")
    ann = server.connect("ann")
    ann.send(b"10\n")
    ann.expect(b"*" * 10, cause="send_waits")
    ann.expect_eof()
    bob = server.connect("bob")
    bob.send(b"1000000\n")
    bob.expect(b"*" * 1000000)
    bob.expect_eof()
    for words in (b"0\n", b"1073741825\n", b"ten\n", b"\n"):
        cat = server.connect("cat")
        cat.send(words)
        cat.expect(b"Bad Request\n")
        cat.expect_eof()
        cat.close()
    keeps_little(lab, server, before, 0)
    eve.reset()
    wait_until(lambda: server.stdout.text.count("disconnected") >= 5, "the log says who has gone")
    server.expect_idle()


@check(points=2, read="fd_setsize", causes=LOOP)
def test_a_full_select_server_refuses(lab: Lab) -> None:
    """Out of descriptors, accept fails, and who waits makes the listener ready for ever: with one to spare, nobody waits."""
    for name in ("upper_server", "upper_server_slow", "echo_server", "echo_server_writes", "cas_server", "bytes_server"):
        with step(f"{name} with 16 descriptors", quiet=True):
            server = lab.server(name, descriptors=16)
            clients = server.connect_all(*(f"client {number}" for number in range(1, 19)))
            server.expect_idle(cause="none_to_spare")
            clients[17].read_to_eof(cause="none_to_spare")
            before = len(server.descriptors())
            clients[0].close()
            wait_until(lambda s=server, b=before: len(s.descriptors()) < b, "client 1's descriptor is closed")
            late = server.connect("late")
            late.send(b"0 0\n")
            wait_until(late.unread, "there is room again")
            server.stop()
        with step(f"{name} while the whole system has none", quiet=True):
            server = lab.server(name, faults={"accept": 1})
            server.connect("ann")
            server.expect_match("Too many open files in system", stream="stderr")
            server.expect_idle()


# --- one slow request, and the library


@check(points=2, read="slow")
def test_work_in_the_loop_is_everybodys_wait(lab: Lab) -> None:
    """While the loop works for one client, here for an hour, the request of the next one lies unread."""
    server = lab.server("upper_server_slow", "-d", "3600")
    ann, bob = server.connect_all("ann", "bob")
    bob.expect_accepted()
    ann.send(b"takes long")
    wait_until(lambda: ann.on_the_way() == 0 and kernel.at_rest(server.pid), "the server has read ann's request, and sleeps")
    bob.send(b"quick")
    wait_until(lambda: bob.on_the_way() == 5 and kernel.at_rest(server.pid), "bob's request lies unread, and the server sleeps")
    expect(not bob.unread() and not ann.unread(), "nobody has an answer")
    server.stop()
    quick = lab.server("upper_server_slow", "-d", "0")
    answers(quick.connect("cat"), b"without work it is quick")


@check(points=3, read="callbacks", causes=WRITES)
def test_the_library_calls_back(lab: Lab) -> None:
    """The loop in a library is the same loop: it serves everybody, waits for writes, and rests."""
    server = lab.server("callback_server")
    ann, eve = server.connect_all("ann", "eve")
    echoes(ann, b"hello")
    eve.send_unread(b"e" * MUCH)
    echoes(ann, b"still here", cause="send_waits")
    eve.reset()
    ann.send(b"the last")
    ann.half_close()
    ann.expect_match(rb"Echo=>the last at " + DATE)
    ann.expect_eof()
    server.expect_match(r"(?s)disconnected .*disconnected ")
    server.expect_idle()


@check(points=1, read="no-descriptor-left", causes=FULL)
def test_the_library_rests_when_it_is_full(lab: Lab) -> None:
    """An acceptor that has no descriptor for the next client does not want to be told of him."""
    # Not sanitized: to look at an object, UBSan opens a pipe, and takes a failure of that for a bad object.
    a_full_server_rests(lab, "callback_server", echoes, variant="")


# --- the models of I/O


@check(points=2, read="five-models")
def test_five_ways_to_wait(lab: Lab) -> None:
    """Blocked, asking, waiting for several, called by a signal, told when all is done: the calls tell them apart."""
    recv = {}
    for model in ("blocking", "nonblocking", "select", "sigio", "aio"):
        run = lab.run("io_models", model).expect_status()
        run.expect_match(r"^received: +three short words$")
        recv[model] = int(run.expect_match(r"^calls: .*recv (\d+)$")[1])
        run.expect_match(r"^CPU: +\d+ ms for waiting, \d+ ms for other work$")
    expect(recv["nonblocking"] > 100 > recv["select"], "non-blocking asks more than a hundred times")
    expect(recv["blocking"] <= 4 and recv["aio"] == 0, "blocking asks once a word, aio not at all")
    lab.run("io_models", "another").expect_status(2)


@check(points=2, read="urgent")
def test_the_third_set_is_for_urgent_data(lab: Lab) -> None:
    """An exceptional condition is one byte out of band: it is announced before what was sent ahead of it."""
    run = lab.run("select_urgent").expect_status()
    run.expect_match(r"^'abc' sent: readable writable$")
    run.expect_match(r"^'!' sent out of band, then 'def': readable writable exceptional$")
    run.expect_match(r"^recv with MSG_OOB gets '!': readable writable$")
    run.expect_match(r"^recv gets 'abc': readable writable\nsockatmark: 1\nrecv gets 'def': writable$")


# --- what holds for all of them


SERVERS = (
    "upper_server", "upper_server_poll", "upper_server_epoll", "echo_server", "echo_server_writes", "cas_server",
    "bytes_server", "callback_server",
)  # fmt: skip


@check(points=2, read="who-leaves")
def test_no_client_ends_a_server(lab: Lab) -> None:
    """Connect and leave, reset at once, hang up with replies unread: it is the end of that client alone."""
    for name in SERVERS:
        with step(f"rude clients of {name}", quiet=True):
            server = lab.server(name)
            for rude in server.connect_all("one", "two", "three"):
                rude.send(b"0 1\n" * 500)
                rude.close()
            server.connect("four").close()
            server.connect("five").reset()
            last = server.connect("last")
            last.send(b"0 0\n")
            wait_until(lambda s=server: s.stdout.text.count("disconnected") >= 4, "the log says who has gone")
            wait_until(last.unread, "the last one is answered")
            server.expect_alive()


@check(points=2, read="select", alone=True)
def test_every_server_ends_in_order(lab: Lab) -> None:
    """SIGINT and SIGTERM: `Exiting` once, status 0, and the port is free for the next start at once."""
    for name in SERVERS:
        with step(f"the end of {name}", quiet=True):
            server: Server = lab.server(name)
            client = server.connect("ann")
            client.expect_accepted()
            server.stop(signal.SIGTERM)
            if not name.startswith("echo"):  # the port next to one of the kernel's choice may be anybody's
                lab.server(name, port=server.port).stop()
