"""What is true of lab05: one process, many clients."""

import re
import signal
import time
from collections.abc import Callable

from labkit import Lab, Server, check, expect, kernel, secret_word, shortage, step, wait_until
from labkit.client import Peer, converse
from labkit.program import Program
from labkit.server import ANOTHER_ADDRESS
from labkit.services import DATE, DATED, LARGEST, ONE_DIGIT_DAY, counts_out_bytes, dated_anew, expect_echo
from labkit.short_sends import send_ends_early
from labkit.steps import Cause, CouldNotTell, Failed, if_silent
from labkit.waiting import allowing, deadline, poll

MUCH = 50 << 20  # bytes: more than the kernel's buffers hold, by far

LOOP = {
    "not_watched": "A client that has sent something is not served: is its descriptor in the set, and is "
    "the first argument of select one more than the highest descriptor?",
    "listener_not_watched": "A client waits in the backlog, and the server sleeps: is the listener in the "
    "set, and is the first argument of select one more than the highest descriptor?",
    "set_reused": "Only some clients are served, or only once: select changes the set that it is given, so "
    "it needs a new one at each call.",
    "waits_for_one": "One silent client keeps the server from the others: which call waits for it alone?",
    "not_forgotten": "A descriptor that was closed, or whose client has gone, is still watched: it is ready "
    "for ever, or select fails with EBADF.",
    "set_overflow": "A descriptor from FD_SETSIZE on has no place in a set: FD_SET writes beyond its end.",
    "limit_too_low": "No descriptor was left, so a client was not accepted: raise the limit as far as the "
    "hard limit allows. Then a client for whom a set has no place can be accepted, and refused.",
    "refused_is_connected": "A client that is refused has a `connected` line, too, and never a "
    "`disconnected` one: look at its descriptor before you log it.",
    "refusal_not_said": "The client must be closed, and the log must say why: `refused HOST:PORT: too many "
    "clients`.",
    "short_send": "send took a part of the reply and said so, and the rest was not sent: repeat it "
    "(`send_all`).",
    "accept_waits": "The server waits in accept, and no client is there: call accept only when the listener "
    "is ready, and make the listener non-blocking.",
    "count_missing": "Clients have come or gone, and no line tells how many there are: print it after each "
    "`connected` line and after the `disconnected` lines of a turn, also if an error has ended one of them.",
    "wrong_count": "The log tells another number of clients than there are: count when each of those that "
    "have gone is off the list.",
}
# The other servers have upper_server's wait.
OTHERS = {
    "short_send": LOOP["short_send"],
    "not_the_kernels_port": "With -p 0 the second port was each time the first one plus 1: bind the second "
    "socket to port 0, too. The next port may be in use.",
    "newest_is_highest": "A client left, another got its place, and since then an older one is not served: "
    "the first argument of select is one more than the highest descriptor, which need not be the newest.",
}
ECHO = {
    "works_whole_seconds": "The work of less than a second took no time: -d takes a fraction, so keep it.",
    "nul_ends_chunk": "What follows a NUL byte was not sent back: a chunk is as long as recv says, whatever "
    "bytes it has.",
}
# A server may keep something of a client beyond the client's end.
PLACES = {
    "place_used_again": "A new client has got, or is taken to have sent, what was another's, which has gone: "
    "its descriptor has the same number. Empty the place of a client that goes.",
}
FAIR = {
    "starves": "One client was served until nothing was left of it while others waited: serve a bounded "
    "piece in a turn.",
}
WRITES = PLACES | {
    "send_waits": "A send waits for a client that does not read, so all others wait: it must not block.",
    "rest_lost": "send took a part of the reply, or nothing (EAGAIN), and the rest was lost: keep it, and "
    "send "
    "it later.",
    "never_flushed": "What was kept was not sent when the client read again: watch the client for writing.",
    "too_much_kept": "What a client does not read grows in the server's memory: do not read from that "
    "client meanwhile.",
    "watched_in_vain": "A client is watched for what the server does not do now, and is ready for it again "
    "and again: watch it for writing only while output waits, for reading only while the server would read.",
    "end_missed": "The client has sent its end of file and got its whole reply, and the connection stays "
    "open.",
    "end_forgets_output": "After the client's end of file the replies that it had not got yet were thrown "
    "away.",
    "never_read_again": "A client had not read for a while, and has read all of its replies: what it has "
    "sent meanwhile still lies unread. Read from it again whenever its output is below the limit.",
}
FOLLOWS = {
    "keeps_what_follows": "A client goes on sending behind its line, and the server keeps it: what follows "
    "the line is nobody's, so do not read it while the reply is sent, or throw it away.",
}
LINES = PLACES | {
    "one_buffer": "The first half of one client's line was put before another's: each client needs a buffer "
    "of its own.",
    "rest_lost": "send took a part of the replies and said so, and the rest was not sent: repeat it "
    "(`send_all`).",
    "replies_cut": "Many lines came in one piece, and not each got its reply: the replies may be much longer "
    "than the lines.",
    "closed_too_early": "A client that was refused was closed before it had sent 1 MiB behind its line: add "
    "up the bytes that are thrown away, and not the pieces.",
    "read_for_ever": "A client that was refused goes on sending, and its connection is never closed: add "
    "up what is read and thrown away, and close at the limit.",
}
FULL = shortage.CAUSES | {
    "spins_when_full": "accept fails because no descriptor is left, and the client in the backlog keeps the "
    "listener ready: do not watch the listener until a descriptor is free, and give each pause its own time "
    "limit.",
    "pause_used_up": "The first pause waited, and a later one does not: its time limit was used up. On Linux "
    "select counts its timeval down, so set it anew before each call.",
    "ticks_when_full": "The server wakes up again and again during a pause: one wait of a second is enough, "
    "since a client that it serves ends the wait anyway.",
    "full_sleeps": "While the server is full it sleeps although a client's request lies unread: a pause "
    "concerns the listener alone.",
}
EDGES = FAIR | {
    "not_drained": "Not everything was read that had arrived, and no event comes for what is there already: "
    "serve until recv or send would block, or re-arm the descriptor.",
    "listener_not_drained": "Several clients connected before the server looked, and that was one event: "
    "accept until EAGAIN, or re-arm the listener.",
    "end_missed": "The client's last bytes and its end of file arrived together: one event for both.",
}


def listeners_of(name: str) -> int:
    """On how many ports the server listens."""
    return 2 if name in ("echo_server", "echo_server_writes") else 1


def one_loop(server: Program) -> None:
    """Fails if other threads or processes serve: without them the lesson is another one."""
    threads, others = server.threads() - 1, len(server.household()) - 1
    if threads > 0 or others > 0:
        what = f"{server.name} has {threads} more threads and {others} more processes"
        raise Failed(what, cause="not_one_loop", details=server.evidence())


def answers(peer: Peer, text: bytes, cause: Cause = None) -> None:
    """The client gets its text and a drawn word in upper case, from the one loop."""
    text += secret_word()
    peer.send(text, cause=cause)
    peer.expect(text.upper(), cause=cause)
    one_loop(peer.program)


def echoes(peer: Peer, text: bytes, cause: Cause = None) -> None:
    """The client gets its text and a drawn word as the echo service has it."""
    text += secret_word()
    peer.send(text, cause=cause)
    expect_echo(peer, text, cause)
    one_loop(peer.program)


def unserved(server: Server, cause: str) -> Cause:
    """The cause, unless the server is seen to wait for the next client or for one alone."""

    def seen() -> str:
        where = kernel.waiting_in(server.pid)
        if where == "inet_csk_accept":
            return "accept_waits"
        return "waits_for_one" if where in ("wait_woken", "sk_wait_data") else cause

    return seen


def lost(peer: Peer) -> Cause:
    """The cause of a missing part of a reply: the connection has ended, or the part is lost."""
    return lambda: "hung_up" if peer.eof or peer.error else "rest_lost"


def keeps_little(lab: Lab, server: Server, before: int, taken: int, cause: str = "too_much_kept") -> None:
    """The server's memory has not grown with what a client sent and did not read."""
    limit = 64 if lab.builds[lab.name].variant else 2  # a sanitizer keeps what the program frees
    grown = kernel.memory(server.pid) - before
    expect(
        grown < limit << 20,
        f"the server keeps little of the {taken} bytes that it was sent: less than {limit} MiB",
        otherwise=f"it has grown by {grown} bytes",
        cause=cause,
    )


def keeps_at_most(most: int, client: Peer, taken: int) -> None:
    """The server holds no more of what this client sent and did not read. Of the `taken` bytes so many are
    read as do not wait before the server; what waits behind it was sent back.
    """
    server = client.program
    # It sleeps, although more is there: so it has read all that it wants.
    poll(lambda: unread_by(server, client) and kernel.at_rest(server.pid), deadline())
    own, far = client.ends()
    read = taken - sum(end.unsent for end in own) - sum(end.unread for end in far)
    kept = read - sum(end.unread for end in own) - sum(end.unsent for end in far)
    expect(
        kept <= most,
        f"the server keeps at most {most} bytes for {client.name}",
        otherwise=f"it has read {kept} bytes more than it has sent back",
        # What its memory cannot hold it has thrown away.
        cause="too_much_kept" if kept < kernel.memory(server.pid) else "rest_lost",
    )


def unread_by(server: Program, client: Peer) -> int:
    """How many bytes of the client lie in the server's receive buffer."""
    sockets = kernel.own_sockets(server.pid)
    return sum(entry.unread for entry in sockets if entry.peer_port == client.local_port)


def undrained(server: Server, client: Peer) -> Cause:
    """The cause of a missing reply, if the server sleeps and bytes of the client lie unread."""
    return lambda: "not_drained" if unread_by(server, client) and kernel.at_rest(server.pid) else None


def stuck(server: Server, peer: Peer) -> Cause:
    """The cause of a reply that does not go on: it was cut off, or the server spins, or it sleeps."""

    def seen() -> str:
        if peer.eof or peer.error:
            return "hung_up"
        if kernel.cpu_share(server.pid) > 0.5:
            return "watched_in_vain"
        unread = peer.on_the_way()
        nothing_waits = len(peer.sent) - (unread or 0) == len(peer.received) + peer.coming()
        return "never_read_again" if unread and nothing_waits else "never_flushed"

    return seen


def bytes_read_before_output_is_full(client: Peer) -> int:
    """The client sends much and reads nothing; returns how many bytes the server has read when it stops."""
    sent = client.send_unread(b"f" * MUCH)
    return sent - (client.on_the_way() or 0)


def one_whose_end_is_there(server: Server, most: int) -> tuple[Peer, int]:
    """A client that does not read, and how many bytes it has sent: the server's kernel has the last of them
    and its end, and the server has not read them.

    most: of a client like it, so many bytes were read. Throws CouldNotTell if the buffers are full each time.
    """
    for attempt in (1, 2, 4):
        client = server.connect(f"hal {attempt}", receive_buffer=4096)
        sent = sends_until_it_is_not_read(server, client, most // attempt)
        client.half_close()
        if poll(lambda: all(end.status == "CLOSE_WAIT" for end in client.ends()[1]), deadline()):
            return client, sent
        client.reset()
    raise CouldNotTell("the end of a client that does not read has not come to the server's kernel")


def sends_until_it_is_not_read(server: Server, client: Peer, most: int) -> int:
    """The client, like one of whom so many bytes were read, sends until a little of it lies unread; returns
    how many bytes it has sent.
    """

    def lies_unread() -> bool:
        return unread_by(server, client) > 0 and kernel.at_rest(server.pid)

    with step(f"{client.name} sends until a few KiB lie unread", quiet=True):
        sent = client.send_unread(b"h" * (most - min(most, 262144)))
        while not lies_unread() and sent < most + 262144:
            sent += client.send_unread(b"h" * 8192)
            poll(lambda: client.on_the_way() == 0 or lies_unread(), deadline())
    return sent


def no_client_waits_for_one_that_does_not_read(lab: Lab, name: str) -> None:
    """The others are served while one client does not read its reply; it then gets every byte of it."""
    server = lab.server(name)
    ann, eve = server.connect_all("ann", "eve")
    answers(ann, b"before")
    before = kernel.memory(server.pid)
    taken = eve.send_unread(b"much" * (MUCH // 4))
    answers(ann, b"still here", cause="send_waits")
    bob = server.connect("bob")
    answers(bob, b"me, too", cause="send_waits")
    keeps_little(lab, server, before, taken)
    keeps_at_most(65536, eve, taken)
    server.expect_idle(cause="watched_in_vain")
    all_was_read = taken == MUCH  # although not all was sent
    reply = b"MUCH" * (taken // 4) + b"MUCH"[: taken % 4]
    eve.expect(reply, cause=lost(eve) if all_was_read else stuck(server, eve))
    answers(eve, b" and more")
    server.expect_idle(cause="watched_in_vain")
    server.expect_asleep()
    ann.half_close()
    ann.expect_eof()
    answers(bob, b"fine")
    fay = server.connect("fay")
    taken = fay.send_unread(b"last" * (MUCH // 4))
    fay.half_close()
    fay.expect(b"LAST" * (taken // 4) + b"LAST"[: taken % 4], cause=stuck(server, fay))
    fay.expect_eof(cause="end_missed")
    answers(bob, b"still fine")
    gus = server.connect("gus", receive_buffer=4096)
    hal, sent = one_whose_end_is_there(server, bytes_read_before_output_is_full(gus))
    server.expect_idle(cause="watched_in_vain")
    hal.expect(b"H" * sent, cause=stuck(server, hal))
    hal.expect_eof(cause="end_missed")
    comes_after_one_that_has_gone(server, gus, b"mine", b"MINE")


def comes_after_one_that_has_gone(server: Server, old: Peer, text: bytes, reply: bytes) -> Peer:
    """A client goes; the next one, which gets the lowest free descriptor, gets the reply to its own bytes."""
    old.reset()
    server.expect_logged("disconnected", old)
    new = server.connect("a new client")
    new.send(text)
    new.expect(reply, cause={"bytes": "place_used_again"})
    return new


def each_gets_a_turn(server: Server, much: bytes, little: bytes) -> None:
    """A client that has sent little is done before one that has sent much, and was there first."""
    loud, quick = server.connect_all("loud", "quick")
    for client in (loud, quick):
        client.expect_accepted()
    poll(lambda: kernel.at_rest(server.pid), deadline())
    with server.paused():
        loud.send(much)
        loud.half_close()
        quick.send(little)
        quick.half_close()
    quick.read_to_eof(cause="starves")
    loud.read_to_eof()
    one_loop(server)
    ends = server.expect_match(r"(?s)^disconnected \S+:(\d+)$.*^disconnected \S+:(\d+)$")
    expect(
        int(ends[1]) == quick.local_port,
        f"quick, who sent {len(little)} bytes, was done before loud, who sent {len(much)}",
        otherwise="loud was served to its end first",
        cause="starves",
    )


def counts_its_clients(server: Server, left: int) -> None:
    """After each `connected` line, and after those of clients that have gone, the log tells the right number;
    at the end so many are left.
    """

    def lines() -> list[str]:
        return server.stdout.text.splitlines()

    def number() -> int:
        return sum((line.startswith("connected")) - (line.startswith("disconnected")) for line in lines())

    wait_until(lambda: number() == left and lines()[-1].endswith("connected"), "the log has them all")
    count, owed = 0, ""
    for line in lines():
        if owed.startswith("connected ") or (owed and not line.startswith("disconnected ")):
            said = line.endswith(" clients connected")
            expect(
                said,
                "the log tells how many there are",
                otherwise=f"not behind {owed}",
                cause="count_missing",
            )
        owed = line if line.startswith(("connected ", "disconnected ")) else ""
        count += line.startswith("connected ") - line.startswith("disconnected ")
        if line.endswith(" clients connected"):
            what = f"{count} are connected by then, and the log says so"
            expect(line.split()[0] == str(count), what, otherwise=line, cause="wrong_count")


def nothing_is_lost_when_send_takes_nothing(
    lab: Lab, name: str, answers: Callable[..., None] = answers
) -> None:
    """A send that must not block may take nothing (EAGAIN), also the first one of a reply."""
    server = lab.server(name, faults={"again": 3, "send": 100})
    ann, bob = server.connect_all("ann", "bob")
    with server.expect_disturbed("again", ann, bob, blocking="send_waits"):
        for text in (b"one", b"two", b"three", b"four" * 200, b"five", b"six"):
            answers(ann, text, cause=lost(ann))
            answers(bob, text, cause=lost(bob))


def all_comes_back(server: Server, cause: str) -> None:
    """Of what a client sends while it reads nothing, no byte is lost: the kernel itself takes a part of a
    send, or nothing."""
    for _ in range(2):
        sent, got = send_ends_early(server, b"q" * MUCH)
        back = got.lower().count(b"q")
        expect(back == len(sent), f"all {len(sent)} bytes come back", otherwise=f"{back} do", cause=cause)


def does_not_sleep_on(server: Server, client: Peer, text: bytes) -> None:
    """The client is answered, and the server is not seen asleep meanwhile while the request lies unread."""
    with step(f"{client.name} is served at once", quiet=True):
        client.send(text)
        asleep = 0

        def answered_or_asleep() -> bool:
            nonlocal asleep
            asleep = asleep + 1 if unread_by(server, client) and kernel.at_rest(server.pid) else 0
            return asleep >= 8 or len(client.unread()) > 0 or server.status() is not None

        wait_until(answered_or_asleep, f"{client.name}'s request is answered", cause="no_answer")
        alive = server.status() is None
        details = None if alive else server.evidence()
        expect(alive, "the server goes on", otherwise="it has ended", cause="ends_when_full", details=details)
        awake = asleep < 8
        expect(awake, "it did not sleep meanwhile", otherwise="asleep at eight looks", cause="full_sleeps")


def a_full_server_rests(
    lab: Lab, name: str, answers: Callable[..., None] = answers, variant: str | None = None
) -> None:
    """Sixteen descriptors: some clients get one; the others wait in the backlog, and cost nothing."""
    server = lab.server(name, descriptors=16, variant=variant)
    clients = server.connect_all(*(f"client {number}" for number in range(1, 19)))
    for client in clients[:8]:
        answers(client, b"early")
    wait_until(lambda: len(server.descriptors()) == 16, "the server has used all its descriptors")
    clients[17].expect_waiting()
    server.expect_match("Too many open files", stream="stderr", cause="accept_failed_silently")
    server.expect_idle(cause="spins_when_full")
    for client in clients[:8]:
        does_not_sleep_on(server, client, b".")
        client.unread()
    said = server.stderr.text.count("Too many open files")
    once = "stderr says once that no descriptor is left"
    expect(said == 1, once, otherwise=f"{said} times", cause="accept_failed_noisily")
    for client in clients[:8]:
        client.close()
    for client in clients[8:]:
        answers(client, b"late", cause="never_again")
    server.expect_idle()
    server.stop()


def a_server_tries_again(
    lab: Lab, name: str, answers: Callable[..., None] = answers, variant: str | None = None
) -> None:
    """The whole system had no descriptor: one becomes free, and no client has left. Or none does: then the
    second pause is like the first."""
    full = lab.server(name, faults={"accept": 1}, variant=variant)
    full.connect("cat")
    server = lab.server(name, faults={"nth_accept": 2}, variant=variant)
    ann, bob = server.connect_all("ann", "bob")
    with step("no client leaves, and ann is silent"):
        answers(bob, b"waits", cause="never_again")
    server.stop()
    server = lab.server(name, faults={"nth_accept": 2}, variant=variant)
    ann, bob = server.connect_all("ann", "bob")
    bob.send(b"waits")

    def bob_is_served() -> bytes:
        answers(ann, b"speaks")
        return bob.unread()

    with step("no client leaves, and ann is never silent", quiet=True):
        wait_until(bob_is_served, "bob is served", cause="never_again")
    rests_again(full)
    full.stop()
    # The same by the process's own limit.
    server = lab.server(name, variant=variant)
    with server.no_descriptor_left():
        ann, bob = server.connect_all("ann", "bob")
        server.expect_match(shortage.REASON, stream="stderr", cause="accept_failed_silently")
        server.expect_idle(cause="spins_when_full")
    with allowing(shortage.REST), step("no client leaves, and ann is silent"):
        answers(bob, b"waits", cause="never_again")
    shortage.talk_does_not_prolong_it(server, lambda: answers(bob, b"speaks"))


def rests_again(server: Server) -> None:
    """Each accept fails: the server has tried it twice, and rests."""
    shortage.tries_again(server)
    assert server.disturbance is not None
    woken = kernel.context_switches(server.pid)
    tries = server.disturbance.count("accept")
    expect(
        woken < 50 + 25 * tries,
        "it sleeps from one try to the next",
        otherwise=f"it has slept {woken} times for {tries} tries",
        cause="ticks_when_full",
    )
    server.expect_idle(cause="pause_used_up")


def ten_thousand_clients(lab: Lab, name: str) -> None:
    """All are connected at the same time, and are answered."""
    server = lab.server(name, raisable=256)
    crowd = server.crowd(10000)
    with step("a hundred of them are answered", quiet=True):
        for client in crowd[::100]:
            answers(client, b"hello")
    wait_until(lambda: len(server.descriptors()) >= len(crowd), "the server has a descriptor for each")
    with step("half of them leave", quiet=True):
        for client in crowd[::2]:
            client.close()
    wait_until(lambda: len(server.descriptors()) <= len(crowd) // 2 + 20, "their descriptors are closed")
    answers(crowd[1], b"still here")
    answers(crowd[-1], b"me, too")


# --- busy, and not busy


@check(points=0, read="asking")
def test_the_busy_server_answers_and_never_rests(lab: Lab) -> None:
    """Non-blocking calls let one process serve many clients. Asked in a loop, they also use a whole CPU for
    nothing."""
    server = lab.server("upper_server_busy")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"one")
    answers(ann, b"two")
    ann.reset()
    answers(bob, b"three")
    server.expect_busy()
    server.stop()


# --- select


@check(points=5, read="select", causes=LOOP)
def test_select_serves_every_client(lab: Lab) -> None:
    """One loop serves all clients, in any order in which they send; the log counts them."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.expect_accepted(
        cause=lambda: "listener_not_watched" if kernel.at_rest(server.pid) else "never_accepted"
    )
    server.expect_match(r"^connected 127\.0\.0\.1:\d+\n1 clients connected$")
    answers(ann, b"first", cause=unserved(server, "not_watched"))
    bob, cat = server.connect_all("bob", "cat")
    answers(cat, b"third", cause=unserved(server, "set_reused"))
    answers(ann, b"once more", cause=unserved(server, "set_reused"))
    answers(bob, b"second", cause=unserved(server, "not_watched"))
    server.expect_match(r"^connected 127\.0\.0\.1:\d+\n3 clients connected$")
    slow = lab.server("upper_server", faults={"send": 7})
    answers(slow.connect("dan"), b"every byte, seven at a time", cause={"bytes": "short_send"})
    all_comes_back(server, "short_send")


@check(points=3, read="select", causes=LOOP, after="select_serves_every_client")
def test_silent_clients_delay_no_other_and_cost_nothing(lab: Lab) -> None:
    """select waits for all clients together, also for the silent ones, and uses no CPU meanwhile."""
    server = lab.server("upper_server")
    server.expect_idle()
    silent = server.connect_all("ann", "bob", "cat")
    dan = server.connect("dan")
    answers(dan, b"and me?", cause="waits_for_one")
    answers(silent[1], b"s", cause=unserved(server, "not_watched"))
    with server.paused():  # whole buffers, whatever their size: is there more?
        silent[0].send(b"w" * 32768)
    silent[0].expect(b"W" * 32768, cause="waits_for_one")
    answers(dan, b"and now?", cause="waits_for_one")
    server.expect_idle()
    server.expect_asleep()


@check(points=5, read="clients-that-leave", causes=LOOP, after="select_serves_every_client")
def test_a_client_that_leaves_is_forgotten(lab: Lab) -> None:
    """A connection that has ended is readable for ever: it must leave the set, or select never waits."""
    server = lab.server("upper_server")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"hello")
    before = len(server.descriptors())
    ann.half_close()
    ann.expect_eof(cause="not_forgotten")
    answers(bob, b"still here", cause="not_forgotten")
    server.expect_match(r"^disconnected 127\.0\.0\.1:\d+\n1 clients connected$")
    closed = "ann's descriptor is closed"
    wait_until(lambda: len(server.descriptors()) == before - 1, closed, cause="not_forgotten")
    server.expect_idle(cause="not_forgotten")
    cat = server.connect("cat")
    answers(cat, b"new", cause="not_watched")
    answers(bob, b"me, too", cause="not_watched")
    with server.paused():
        bob.half_close()
        cat.half_close()
    counts_its_clients(server, 0)


@check(points=3, read="clients-that-leave", causes=LOOP, after="select_serves_every_client")
def test_a_reset_ends_one_connection(lab: Lab) -> None:
    """A pending error makes a socket ready, too. It ends this client's connection, and no other."""
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
    server.expect_logged("disconnected", ann)
    answers(server.connect("cat"), b"new", cause="accept_waits")
    server.expect_idle(cause="not_forgotten")
    counts_its_clients(server, 2)


@check(points=5, read="fd_setsize", causes=LOOP)
def test_select_refuses_a_client_that_its_sets_have_no_place_for(lab: Lab) -> None:
    """A set has FD_SETSIZE places, 1024. A descriptor beyond them must not be put there: the server closes
    it."""
    server = lab.server("upper_server", raisable=256, faults={"files": 10})
    crowd = server.crowd(1060)

    def full(otherwise: str | None) -> Cause:
        return lambda: "limit_too_low" if shortage.REASON in server.stderr.text else otherwise

    answers(crowd[0], b"first")
    answers(crowd[999], b"thousandth", cause=full(None))
    crowd[1059].read_to_eof(cause=full("set_overflow"))
    server.expect_match(r"^refused 127\.0\.0\.1:\d+: too many clients$", cause="refusal_not_said")
    expect(
        max(server.descriptors()) < 1024,
        "no descriptor from 1024 on stays open",
        otherwise=f"descriptor {max(server.descriptors())}",
        cause="set_overflow",
    )
    words = re.findall(r"^(connected|refused) (\S+:\d+)", server.stdout.text, re.MULTILINE)
    both = {name for word, name in words if word == "refused"} & {
        name for word, name in words if word != "refused"
    }
    expect(not both, "no client is refused and connected", otherwise=str(both), cause="refused_is_connected")
    answers(crowd[1000], b"still here")
    with step("ten of them leave", quiet=True):
        for client in crowd[:10]:
            client.close()
    wait_until(lambda: len(server.descriptors()) < 1020, "their descriptors are closed")
    answers(server.connect("late"), b"there is room again")
    for name in ("echo_server_writes", "cas_server", "bytes_server"):
        server = lab.server(name, listeners=listeners_of(name), raisable=256, faults={"files": 10})
        crowd = server.crowd(1060)
        crowd[1059].half_close()
        # It may be served or refused. A client that is in no set gets neither.
        crowd[1059].read_to_eof(cause="set_overflow")
        crowd[0].half_close()
        crowd[0].read_to_eof()
        one_loop(server)


@check(points=3, read="no-descriptor-left", causes=FULL, slow=True)
def test_select_rests_when_it_is_full(lab: Lab) -> None:
    """While no descriptor is free, a client stays in the backlog, and the listener stays ready. The server
    must not spin."""
    a_full_server_rests(lab, "upper_server")
    a_server_tries_again(lab, "upper_server")


# --- poll and epoll


@check(points=6, read="writes", causes=WRITES)
def test_poll_waits_for_no_single_client(lab: Lab) -> None:
    """A client that asks for much and reads nothing delays itself only; the server keeps little for it, and
    loses nothing."""
    nothing_is_lost_when_send_takes_nothing(lab, "upper_server_poll")
    no_client_waits_for_one_that_does_not_read(lab, "upper_server_poll")


@check(points=4, read="no-descriptor-left", causes=FULL, slow=True)
def test_poll_rests_when_it_is_full(lab: Lab) -> None:
    """While no descriptor is free, a client stays in the backlog, and the listener stays ready. The server
    must not spin."""
    a_full_server_rests(lab, "upper_server_poll")
    a_server_tries_again(lab, "upper_server_poll")


@check(points=3, read="ten-thousand")
def test_poll_serves_ten_thousand_clients(lab: Lab) -> None:
    """poll has no FD_SETSIZE: its limit is the number of descriptors that the process may have."""
    ten_thousand_clients(lab, "upper_server_poll")


@check(points=4, read="epoll", causes=WRITES | EDGES)
def test_epoll_answers_every_client(lab: Lab) -> None:
    """Each descriptor is put on the kernel's list once; from then on epoll_wait returns it whenever it is
    ready."""
    server = lab.server("upper_server_epoll")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"one")
    answers(ann, b"two")
    answers(bob, b"three")
    ann.reset()
    bob.half_close()
    bob.expect_eof()
    cat = server.connect("cat")
    with server.paused():
        cat.send(b"all at once, " * 3500)
    cat.expect(b"ALL AT ONCE, " * 3500, cause=undrained(server, cat))
    server.expect_idle(cause="watched_in_vain")
    server.expect_match(r"(?s)disconnected .*disconnected ")


@check(points=5, read="writes", causes=WRITES)
def test_epoll_waits_for_no_single_client(lab: Lab) -> None:
    """As with poll, no client waits for one that does not read, and nothing is lost."""
    nothing_is_lost_when_send_takes_nothing(lab, "upper_server_epoll")
    no_client_waits_for_one_that_does_not_read(lab, "upper_server_epoll")


@check(points=4, read="no-descriptor-left", causes=FULL, slow=True)
def test_epoll_rests_when_it_is_full(lab: Lab) -> None:
    """epoll_wait returns a ready listener again and again, until its entry on the list is changed."""
    a_full_server_rests(lab, "upper_server_epoll")
    a_server_tries_again(lab, "upper_server_epoll")


@check(points=3, read="ten-thousand")
def test_epoll_serves_ten_thousand_clients(lab: Lab) -> None:
    """Ten thousand clients are ten thousand entries on the kernel's list. They cost no work while they are
    silent."""
    ten_thousand_clients(lab, "upper_server_epoll")


# --- edge-triggered


@check(points=3, read="edges", causes=EDGES)
def test_edge_triggered_epoll_answers_every_client(lab: Lab) -> None:
    """An event tells that something has arrived: each client is answered, and a silent one costs nothing."""
    server = lab.server("upper_server_epoll_edge")
    ann, bob = server.connect_all("ann", "bob")
    answers(bob, b"one")
    answers(ann, b"two")
    answers(bob, b"three")
    ann.reset()
    bob.half_close()
    bob.expect_eof()
    with server.paused():
        crowd = server.connect_all(*(f"client {number}" for number in range(1, 101)))
    with step("each of them is answered", quiet=True):
        for client in crowd:
            answers(client, b"four", cause="listener_not_drained")
    server.expect_idle()
    server.expect_match(r"(?s)disconnected .*disconnected ")


@check(points=5, read="edges", causes=EDGES)
def test_what_one_event_has_announced_is_drained(lab: Lab) -> None:
    """An edge is reported once. More bytes have arrived than one recv takes, and no further event reports
    them."""
    server = lab.server("upper_server_epoll_edge")
    ann = server.connect("ann")
    answers(ann, b"hello")
    with server.paused():
        ann.send(b"all at once, " * 3500)
    ann.expect(b"ALL AT ONCE, " * 3500, cause="not_drained")
    answers(ann, b".", cause="not_drained")
    server.expect_idle()


@check(points=3, read="edges", causes=EDGES)
def test_an_end_that_comes_with_the_data_is_seen(lab: Lab) -> None:
    """Data and end of file, or data and an urgent byte, may arrive as one edge: the server must not leave one
    of them unread."""
    server = lab.server("upper_server_epoll_edge")
    ann, bob = server.connect_all("ann", "bob")
    answers(ann, b"hello" * 8000)  # more than a turn may take: it may be re-armed
    with server.paused():
        ann.send(b"bye")
        ann.half_close()
    ann.expect(b"BYE", cause="not_drained")
    ann.expect_eof(cause="end_missed")
    answers(bob, b"hello" * 8000)
    with server.paused():
        bob.send(b"before")
        bob.send_urgent(b"!")
        bob.send(b"behind")
    bob.expect(b"BEFOREBEHIND", cause=undrained(server, bob))


@check(points=4, read="fairness", causes=EDGES)
def test_every_client_gets_a_turn(lab: Lab) -> None:
    """To drain one client without a bound starves all others: serve a piece of each client in turn."""
    for name in ("upper_server", "upper_server_poll", "upper_server_epoll", "upper_server_epoll_edge"):
        each_gets_a_turn(lab.server(name), b"x" * 40000, b"y")  # more than one turn may take


@check(points=4, read="writes", causes=WRITES)
def test_edge_triggered_epoll_waits_for_no_single_client(lab: Lab) -> None:
    """With edges, too, no client waits for one that does not read, and nothing is lost."""
    nothing_is_lost_when_send_takes_nothing(lab, "upper_server_epoll_edge")
    no_client_waits_for_one_that_does_not_read(lab, "upper_server_epoll_edge")


@check(points=3, read="no-descriptor-left", causes=FULL, slow=True)
def test_edge_triggered_epoll_rests_when_it_is_full(lab: Lab) -> None:
    """An edge-triggered server that is full must remember that clients wait: no further event reports
    them."""
    a_full_server_rests(lab, "upper_server_epoll_edge")
    a_server_tries_again(lab, "upper_server_epoll_edge")


@check(points=2, read="ten-thousand")
def test_edge_triggered_epoll_serves_ten_thousand_clients(lab: Lab) -> None:
    """Ten thousand clients connect at once: the listener's edges must not be lost either."""
    ten_thousand_clients(lab, "upper_server_epoll_edge")


# --- echo


def works_for_a_fraction_of_a_second(lab: Lab, name: str, answers: Callable[..., None] = echoes) -> None:
    """A client that comes has no answer before the server has worked 0.2 s for it: however busy the
    machine is, it takes no less.
    """
    server = lab.server(name, "-d", "0.2", listeners=listeners_of(name))
    with step("the work for fay takes 0.2 s", quiet=True):
        begin = time.monotonic()
        fay = server.connect("fay")
        answers(fay, b"slow")
        took = time.monotonic() - begin
    expect(took > 0.2, "it has taken its time", otherwise=f"{took:.3f} s", cause="works_whole_seconds")


@check(points=2, read="two-listeners", causes=FAIR | OTHERS | DATED | ECHO)
def test_echo_serves_two_ports(lab: Lab) -> None:
    """A listener is one more descriptor to wait for: one loop may have several."""
    taken = "not_the_kernels_port"
    server = lab.server("echo_server", listeners=2, faults={"send": 7, "time": ONE_DIGIT_DAY}, taken=taken)
    expect(len(server.ports) == 2, "it listens on two ports", otherwise=f"on {len(server.ports)}")
    ann = server.connect("ann", port=server.ports[0])
    bob = server.connect("bob", port=server.ports[1])
    silent = server.connect("cat", port=server.ports[0])
    silent.expect_accepted()
    echoes(bob, b"Lancelot", cause={"bytes": "short_send"})
    echoes(ann, b"Sir")
    echoes(ann, b"a\0b\xff", cause={"bytes": "nul_ends_chunk", "answer": "nul_ends_chunk"})
    ann.half_close()
    ann.expect_eof()
    bob.reset()
    server.expect_logged("disconnected", bob)
    server.connect("dan", port=server.ports[1]).expect_accepted()  # in the place of one that has gone
    echoes(silent, b"Galahad", cause="newest_is_highest")
    server.expect_idle()
    server = lab.server("echo_server", listeners=2, taken=taken)
    all_comes_back(server, "short_send")
    dated_anew(server.connect("eve"))
    fair = lab.server("echo_server", listeners=2, taken=taken)
    each_gets_a_turn(fair, b"x" * 60000, b"y")
    next_ones = [one.ports[1] == one.ports[0] + 1 for one in (server, fair)]
    expect(not all(next_ones), "the kernel has chosen both ports", cause="not_the_kernels_port")
    works_for_a_fraction_of_a_second(lab, "echo_server")


@check(points=5, read="writes", causes=WRITES | FAIR | ECHO)
def test_echo_writes_only_when_the_client_takes_it(lab: Lab) -> None:
    """select tells which clients are writable, too: no send blocks, and a client without output is not
    watched for it."""
    server = lab.server("echo_server_writes", listeners=2)
    ann = server.connect("ann")
    echoes(ann, b"hello")
    echoes(ann, b"a\0b\xff", cause={"bytes": "nul_ends_chunk", "answer": "nul_ends_chunk"})
    server.expect_idle(cause="watched_in_vain")
    server.expect_asleep()
    eve = server.connect("eve", receive_buffer=4096)  # each reply is longer than its chunk: few in the kernel
    before = kernel.memory(server.pid)
    taken = eve.send_unread(b"e" * MUCH)
    echoes(ann, b"still here", cause="send_waits")
    bob = server.connect("bob", port=server.ports[1])
    echoes(bob, b"me, too", cause="send_waits")
    keeps_little(lab, server, before, taken)
    keeps_at_most(65536 + 2048, eve, taken)
    server.expect_idle(cause="watched_in_vain")
    eve.reset()
    server.expect_logged("disconnected", eve)
    gil = server.connect("gil")  # in eve's place
    gil.send(b"mine")
    expect_echo(gil, b"mine", cause="place_used_again")
    sent = gil.send_unread(b"k" * MUCH)
    with server.paused():  # then one send takes all that the server has kept
        wait_until(lambda: len(gil.unread()) > 0 and gil.coming() == 0, "gil has read what has come")
    gil.half_close()
    got = gil.read_to_eof(cause="never_read_again").count(b"k")
    expect(got == sent, f"gil gets all {sent} bytes back", otherwise=f"{got} bytes", cause="rest_lost")
    fay, dan = (server.connect(name, receive_buffer=4096) for name in ("fay", "dan"))
    most = bytes_read_before_output_is_full(fay)
    sent = dan.send_unread(b"d" * (most - 32768))  # the server reads all of it; its last replies wait
    dan.half_close()
    server.expect_idle(cause="watched_in_vain")
    got = dan.read_to_eof(cause="never_flushed").count(b"d")
    back = f"dan gets all {sent} bytes back"
    expect(got >= sent, back, otherwise=f"{got} bytes", cause="end_forgets_output")
    echoes(ann, b"alone again")
    works_for_a_fraction_of_a_second(lab, "echo_server_writes")
    each_gets_a_turn(lab.server("echo_server_writes", listeners=2), b"x" * 60000, b"y")


@check(points=4, read="writes", causes=WRITES | DATED)
def test_echo_loses_nothing_of_what_waits(lab: Lab) -> None:
    """After its end of file a client still gets its replies; send may take a few bytes at a time."""
    server = lab.server("echo_server_writes", faults={"send": 7, "time": ONE_DIGIT_DAY})
    bob = server.connect("bob")
    echoes(bob, b"short pieces", cause={"bytes": "rest_lost"})
    nothing_is_lost_when_send_takes_nothing(lab, "echo_server_writes", echoes)
    all_comes_back(lab.server("echo_server_writes", listeners=2), "rest_lost")
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
    dated_anew(server.connect("cat"))


# --- cas and bytes


@check(points=2, read="no-lock")
def test_one_loop_needs_no_lock(lab: Lab) -> None:
    """No other client is served between the comparison and the swap: eight clients count to 400, and no step
    is lost."""
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
    one_loop(server)
    last = server.connect("last")
    last.send(b"400 0\n")
    last.expect(b"400\n")


@check(points=1, read="no-lock", causes=LINES | FAIR | OTHERS)
def test_half_a_line_is_kept_for_each_client(lab: Lab) -> None:
    """What a client has sent of its line waits with this client, while others are served."""
    server = lab.server("cas_server")
    ann, bob = server.connect_all("ann", "bob")
    ann.send(b"0 4")
    bob.send(b"0 7\n7 8\nx y\n99999999999999999999 0\n")
    bob.expect(b"0\n7\nBad Syntax\nOut of Range\n", cause={"bytes": "one_buffer"})
    bob.send(b"\n")
    bob.expect(b"Bad Syntax\n", cause=if_silent("empty_line_skipped"))
    with server.paused():
        bob.send(b"\n" * 1024)
    bob.expect(b"Bad Syntax\n" * 1024, cause={"bytes": "replies_cut"})
    ann.send(b"2\n")
    ann.expect(b"8\n")
    one_loop(server)
    with server.paused():
        ann.send(b"8 8\n8 8\n" + b"9" * 70000)
    ann.expect(b"8\n8\nLine too long\n", cause={"bytes": "replies_dropped"})
    ann.expect_eof()
    ann.send(b"\n8 99\n")
    ann.expect_read()
    bob.send(b"8 0\n")
    bob.expect(b"8\n", cause={"bytes": "swaps_when_refused"})
    ann.close()
    server.expect_logged("disconnected", ann)
    eve = server.connect("eve")  # in ann's place
    eve.expect_accepted()
    bob.send(b"0 0\n")
    bob.expect(b"0\n", cause="newest_is_highest")
    cat = server.connect("cat")
    cat.send(b"half a ")
    cat.expect_read()
    comes_after_one_that_has_gone(server, cat, b"0 7\n", b"0\n")
    fay = server.connect("fay")
    fay.send(b"9" * 70000)
    fay.expect(b"Line too long\n")
    fay.expect_eof()
    fay.send_unread(b"9" * (4 << 20))
    server.expect_logged("disconnected", fay, cause="read_for_ever")
    in_pieces = lab.server("cas_server", faults={"recv": 64})
    gus = in_pieces.connect("gus")
    gus.send(b"9" * 200_000)
    gus.expect(b"Line too long\n")
    gus.expect_read()
    open_still = "disconnected" not in in_pieces.stdout.text
    what = "gus has sent less than 1 MiB, and is still read"
    expect(open_still, what, otherwise="his connection is closed", cause="closed_too_early")
    gus.close()
    in_pieces.expect_logged("disconnected", gus)
    dan = lab.server("cas_server", faults={"send": 3}).connect("dan")
    dan.send(b"0 4\n4 5\nx y\n")
    dan.expect(b"0\n4\nBad Syntax\n", cause=lost(dan))
    sent, got = send_ends_early(lab.server("cas_server"), b"nonsense\n" * (MUCH // 9))
    wanted = b"Bad Syntax\n" * sent.count(b"\n")
    expect(got == wanted, "each line gets its reply", otherwise=f"{len(got)} bytes", cause="rest_lost")
    each_gets_a_turn(lab.server("cas_server"), b"0 0\n" * 15000, b"0 0\n")


@check(points=2, read="bytes-in-turns", causes=WRITES | OTHERS | FOLLOWS)
def test_a_gigabyte_that_is_not_read_stalls_no_other_client(lab: Lab) -> None:
    """In each turn the server sends a piece of the reply that the client can take. What it keeps for a client
    is small."""
    server = lab.server("bytes_server")
    eve = server.connect("eve")
    before = kernel.memory(server.pid)
    eve.send(LARGEST)
    eve.send_unread(b"1" * MUCH)
    ann = server.connect("ann")
    ann.send(b"10\n")
    ann.expect(b"*" * 10, cause="send_waits")
    one_loop(server)
    ann.expect_eof()
    bob = server.connect("bob")
    bob.send(b"1000000\n")
    bob.expect(b"*" * 1000000)
    bob.expect_eof()
    counts_out_bytes(server)
    keeps_little(lab, server, before, MUCH, "keeps_what_follows")
    dan = server.connect("dan")
    dan.expect_accepted()
    cat = comes_after_one_that_has_gone(server, eve, b"3\n", b"***")
    dan.send(b"2\n")
    dan.expect(b"**", cause="newest_is_highest")
    for client in (ann, bob, cat, dan):
        client.close()
    server.expect_all_logged_gone()
    server.expect_idle()
    program = lab.server("bytes_server", faults={"again": 3, "send": 5})
    for request, reply in (
        (b"ten\n", b"Bad Request\n"),
        (b"9" * 70000, b"Line too long\n"),
        (b"40\n", b"*" * 40),
    ):
        client = program.connect("a client")
        with program.expect_disturbed("again", client):
            client.send(request)
            client.expect(reply, cause={"bytes": "rest_lost"})
            client.expect_eof()


@check(points=2, read="no-descriptor-left", causes=FULL, slow=True)
def test_the_other_select_servers_rest_when_they_are_full(lab: Lab) -> None:
    """All select servers have the same loop: one that is full waits until a descriptor is free, and serves
    its clients."""
    names = ("upper_server_slow", "echo_server", "echo_server_writes", "cas_server", "bytes_server")
    starved = []
    for name in names:
        with step(f"{name} with 16 descriptors", quiet=True):
            server = lab.server(name, listeners=listeners_of(name), descriptors=16)
            clients = server.connect_all(*(f"client {number}" for number in range(1, 19)))
            server.expect_match("Too many open files", stream="stderr", cause="accept_failed_silently")
            server.expect_idle(cause="spins_when_full")
            clients[17].expect_waiting()
            for client in clients[:8]:
                client.close()
            clients[17].expect_accepted(cause="never_again")
            one_loop(server)
            server.stop()
        with step(f"{name} while the whole system has none", quiet=True):
            server = lab.server(name, listeners=listeners_of(name), faults={"accept": 1})
            for port in server.ports:
                server.connect(f"who waits at port {port}", port=port)
            reason = "Too many open files in system"
            server.expect_match(reason, stream="stderr", cause="accept_failed_silently")
            server.expect_idle(cause="spins_when_full")
            starved.append(server)
    for server in starved:
        with step(f"{server.name} a second later", quiet=True):
            rests_again(server)


# --- one slow request, and the library


@check(points=1, read="slow", causes=OTHERS | ECHO)
def test_work_in_the_loop_delays_all_clients(lab: Lab) -> None:
    """While the loop works for one client, here for an hour, the request of the next one lies unread."""
    server = lab.server("upper_server_slow", "-d", "3600")
    ann, bob = server.connect_all("ann", "bob")
    bob.expect_accepted()
    ann.send(b"takes long")

    wait_until(
        lambda: ann.on_the_way() == 0 and kernel.at_rest(server.pid),
        "the server has read ann's request, and sleeps",
    )
    bob.send(b"quick")
    wait_until(
        lambda: bob.on_the_way() == 5 and kernel.at_rest(server.pid),
        "bob's request lies unread, and the server sleeps",
    )
    expect(not bob.unread() and not ann.unread(), "nobody has an answer")
    server.stop()
    quick = lab.server("upper_server_slow", "-d", "0")
    cat, dan = quick.connect_all("cat", "dan")
    answers(cat, b"without work it is quick")
    cat.close()
    quick.expect_logged("disconnected", cat)
    quick.connect("eve").expect_accepted()  # in cat's place
    answers(dan, b"me, too", cause="newest_is_highest")
    works_for_a_fraction_of_a_second(lab, "upper_server_slow", answers)


@check(points=0, read="callbacks", causes=WRITES)
def test_the_library_calls_back(lab: Lab) -> None:
    """The loop in a library is the same loop: it serves all clients, waits for writes, and rests."""
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


@check(points=0, read="no-descriptor-left", causes=FULL, slow=True)
def test_the_library_rests_when_it_is_full(lab: Lab) -> None:
    """An acceptor that has no descriptor for the next client does not wait for the listener."""
    # Not sanitized: to look at an object, UBSan opens a pipe, and takes a failure of that for a bad object.
    a_full_server_rests(lab, "callback_server", echoes, variant="")
    a_server_tries_again(lab, "callback_server", echoes, variant="")


# --- the models of I/O


@check(points=0, read="five-models")
def test_five_ways_to_wait(lab: Lab) -> None:
    """Blocking, nonblocking, select, sigio and aio make different calls: the trace shows which."""
    recv = {}
    for model in ("blocking", "nonblocking", "select", "sigio", "aio"):
        run = lab.run("io_models", model).expect_status()
        run.expect_match(r"^received: +three short words$")
        recv[model] = int(run.expect_match(r"^calls: .*recv (\d+)$")[1])
        run.expect_match(r"^CPU: +\d+ ms for waiting, \d+ ms for other work$")
    expect(recv["nonblocking"] > 100 > recv["select"], "non-blocking asks more than a hundred times")
    expect(recv["blocking"] <= 4 and recv["aio"] == 0, "blocking asks once a word, aio not at all")
    lab.run("io_models", "another").expect_status(2)


@check(points=0, read="epoll")
def test_epoll_events_shows_level_and_edge(lab: Lab) -> None:
    """An edge is reported once, EPOLL_CTL_MOD re-arms it, and a descriptor is forgotten when its last copy is
    closed."""
    lines = lab.run("epoll_events").expect_status().stdout.decode().splitlines()[1:]
    seen = [line[40:].replace("in out", "in+out").split() for line in lines]
    both = "in+out"
    level = ["out", "out", both, both, both, both, "out", both, "-"]
    edge = ["out", "-", both, "-", "-", both, "-", both, "-"]
    expect(
        seen == [list(row) for row in zip(level, edge)],
        "each step is reported by level and by edge as man 7 epoll says",
        otherwise=str(seen),
    )


@check(points=0, read="urgent")
def test_the_third_set_is_for_urgent_data(lab: Lab) -> None:
    """An exceptional condition is one byte out of band: it is announced before the bytes that were sent
    before it."""
    run = lab.run("select_urgent").expect_status()
    run.expect_match(r"^'abc' sent: readable writable$")
    run.expect_match(r"^'!' sent out of band, then 'def': readable writable exceptional$")
    run.expect_match(r"^recv with MSG_OOB gets '!': readable writable$")
    run.expect_match(r"^recv gets 'abc': readable writable\nsockatmark: 1\nrecv gets 'def': writable$")


# --- what holds for all of them


SERVERS = (
    "upper_server",
    "upper_server_poll",
    "upper_server_epoll",
    "upper_server_epoll_edge",
    "echo_server",
    "echo_server_writes",
    "cas_server",
    "bytes_server",
    "callback_server",
)


def four_have_gone(server: Server) -> None:
    def told() -> bool:
        return server.stdout.text.count("disconnected") >= 4 or server.status() is not None

    wait_until(told, "the log says which clients have gone")
    server.expect_alive()


@check(
    points=2,
    read="clients-that-leave",
    causes={
        "stops_at_one_that_has_gone": "A client had gone before it was accepted (ECONNABORTED), and the next "
        "one still waits: call accept again, or watch the listener further.",
    },
    after="select_serves_every_client",
)
def test_no_client_ends_a_server(lab: Lab) -> None:
    """Connect and leave, reset at once, close with replies unread: it ends that client's connection alone."""
    for name in SERVERS:
        with step(f"rude clients of {name}", quiet=True):
            server = lab.server(name, listeners=listeners_of(name), faults={"aborted": 5})
            server.expect_private()
            lab.server(name, "-a", ANOTHER_ADDRESS, listeners=listeners_of(name)).stop()
            for rude in server.connect_all("one", "two", "three"):
                rude.send(b"0 1\n" * 500)
                rude.close()
            with server.paused():  # the reply comes after its end of file: a reset, and then EPIPE
                rude = server.connect("four")
                rude.send(b"0 1\n" * 10000)
                rude.close()
            four_have_gone(server)
            poll(lambda: kernel.at_rest(server.pid), deadline())
            with server.paused():  # one event for both
                server.connect("five").reset()
                last = server.connect("last")
            last.send(b"0 0\n")
            wait_until(last.unread, "the last one is answered", cause="stops_at_one_that_has_gone")
            another = server.connect("another")
            another.send(b"0 0\n")
            another.expect_prompt()
            one_loop(server)
            server.expect_alive()


@check(points=2, read="select", after="select_serves_every_client")
def test_every_server_ends_in_order(lab: Lab) -> None:
    """SIGINT and SIGTERM: `Exiting` once, status 0, and the port is free for the next start at once."""
    for name in SERVERS:
        with step(f"the end of {name}", quiet=True):
            port = lab.own_port()
            server: Server = lab.server(name, port=port, listeners=listeners_of(name))
            client = server.connect("ann")
            client.expect_accepted()
            server.stop(signal.SIGTERM)
            lab.server(name, port=port, listeners=listeners_of(name)).stop()
