"""What is true of lab03: datagrams, which may be cut, lost, repeated and overtaken."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Mapping

from labkit import (
    CouldNotTell,
    Failed,
    Lab,
    Server,
    check,
    expect,
    kernel,
    secret_word,
    show,
    step,
    moments,
    wait_until,
)
from labkit.client import Datagrams
from labkit.default_ports import asks_by_default, listens_by_default
from labkit.program import Program
from labkit.steps import difference
from labkit.upper import UpperDatagrams
from labkit.waiting import allowing, poll

SENDER = {
    "reply_to_another": "The reply went to another client than the one that asked: recvfrom returns the "
    "address of the sender.",
    "reply_cut": "A datagram may have any bytes, also zero: its length is what recvfrom returned.",
    "other_bytes_changed": "A byte that is no ASCII letter has changed: only a to z come back in upper case.",
    "server_connected": "The server's socket was connected, and takes datagrams from that one client alone.",
    "datagrams_lost": "Of datagrams that waited together some were lost: the socket's receive buffer was "
    "made smaller (SO_RCVBUF), or they were thrown away.",
    "unsent_ends_server": "One reply could not be sent, and that ended the server: it concerns one client "
    "alone.",
    "whole_buffer_sent": "More was sent than had come: a datagram's length is what recvfrom returned, not "
    "the buffer's.",
}
GOODBYE = {
    "empty_ends_server": "An empty datagram ended the server. It is one datagram, from one client.",
    "wrong_goodbye": "The log does not name the client that has said goodbye, but another one.",
    "goodbye_answered": "An empty datagram got a reply. It is a goodbye: its sender does not wait for one.",
}
TRUNCATED = {
    "truncated_unanswered": "The datagram that was too long got no reply: its first 1024 bytes come back.",
    "cut_elsewhere": "Of a datagram that is too long the first 1024 bytes come back, no fewer and no more.",
    "truncation_unnoticed": "The end of a long datagram was lost, and it is not logged: recvfrom tells "
    "it with the flag MSG_TRUNC.",
    "other_length": "The log tells another length than the one that was sent: a datagram may have up to "
    "65 507 bytes.",
}
PORT = {
    "port_stolen": "Two servers have one port: SO_REUSEADDR on a UDP socket lets another take the port "
    "and the datagrams.",
}
CLIENT = {
    "no_goodbye": "The client ended without an empty datagram: UDP has no end of file that would tell the "
    "server.",
    "goodbye_not_empty": "The last datagram of the client has bytes: a goodbye has none.",
    "blanks_end_it": "A line of blanks ended the client: only an empty line does.",
    "last_line_lost": "The last line came without its newline, and was not asked: it is still a line.",
    "long_reply_cut": "The reply was not printed whole: a datagram may have up to 65 507 bytes.",
    "empty_reply_refused": "The reply was an empty datagram, and the client ended: for a datagram 0 is a "
    "length like any other.",
    "line_changed": "The datagram is not the line as it was typed: only the newline is left out.",
    "anybody_believed": "A datagram of another sender was taken for the server's reply: connect the socket, "
    "or compare the sender's address.",
    "waits_for_ever": "recv waits for a reply that will never come: give it a limit (SO_RCVTIMEO).",
    "waits_again": "The -w seconds were over without a reply, and the client waited again.",
    "waits_too_short": "The client gave up before its -w seconds were over: they may have a fraction.",
    "refusal_unnoticed": "No socket has that port, and the kernel reported it (ECONNREFUSED, on a connected "
    "socket), but the client did not.",
}
BROADCAST = {
    "not_asked_for": "Without SO_BROADCAST, set on the sender's socket, the kernel sends no broadcast: "
    "EACCES.",
}
RETRY = {
    "never_asks_again": "The request or its reply was lost, and the client did not repeat the request.",
    "no_reply_taken": "The client sent its request 40 times, and took none of the replies, which had its "
    "number.",
    "late_reply_taken": "A reply to an earlier request was taken for the reply to this one: compare the "
    "numbers.",
    "wrong_reply_taken": "A datagram that does not begin with the number and a blank was taken for the reply,"
    " or a reply was not printed as it came.",
    "refusal_is_no_datagram": "recv returned -1, and that was taken for a length.",
    "refusal_ends_the_wait": "The port was refused, and the client asked again before its wait was over, or "
    "gave up: a refusal is as good as a lost datagram.",
    "repeat_is_a_try": "A repeated reply used up a try: a datagram that is not the reply should not end the "
    "wait.",
    "empty_reply_ignored": "The reply had the number, the blank and no text, and was not taken: a text may "
    "be empty.",
    "wrong_ends_the_wait": "A datagram that is not the reply ended the wait, and the client asked again too "
    "soon.",
    "number_used_again": "Two requests have the same number: each line is a new request, also if it is the "
    "same line again.",
    "goodbye_sent": "The client sent an empty datagram: this one says no goodbye, which could be lost.",
    "wait_restarted": "Each wrong datagram started the wait anew: compute its deadline before the wait.",
    "gives_up_early": "The client gave up before it had asked 40 times: each request has 40 tries of its "
    "own.",
    "wait_untold": "Each wait that ends without a reply is told on stderr, once: also the last one.",
    "asks_for_ever": "The client does not give up: after 40 tries without a reply it should report it and "
    "end.",
    "blanks_end_it": CLIENT["blanks_end_it"],
    "last_line_lost": CLIENT["last_line_lost"],
    "number_too_large": "A datagram with a number of more than 64 bits ended the client, or was taken for "
    "the reply: it is not the reply, and that is all.",
    "waits_do_not_grow": "The waits should be 10, 20, 40, 80, 160, then 200 ms: repeats at a fixed pace keep "
    "a busy server busy.",
}


WAITS = 10 + 20 + 40 + 80 + 160 + 35 * 200  # ms, of 40 tries

TAKE = {
    "refusal_ends_the_wait": RETRY["refusal_ends_the_wait"],
    "blanks_end_it": CLIENT["blanks_end_it"],
    "last_line_lost": CLIENT["last_line_lost"],
    "unsent_ends_server": SENDER["unsent_ends_server"],
    "replies_kept": "The server keeps the replies that a client has acknowledged: its memory grows with the "
    "number of requests. Keep the last one.",
    "cut_message_served": "Of a long datagram only the beginning was looked at, and taken for a message: "
    "make the buffer larger than a message, or ask for the length (MSG_TRUNC).",
    "stale_doubles": "A datagram that is not the reply doubled the time-out: only a wait that ends without a "
    "reply does.",
    "no_welcome": "hello NONCE is answered welcome NONCE EPOCH CLIENT.",
    "one_id": "Two clients got the same ID: their repeats cannot be told apart.",
    "other_tickets": "The first ticket is 1, and each request gets the numbers after those handed out "
    "before.",
    "served_twice": "A repeated request was served as a new one: remember the last request of each client, "
    "and its reply.",
    "address_is_client": "The client was known by its address: its ID is in each request, and its address "
    "may change.",
    "late_repeat_answered": "A request that is neither the last one nor the next one was served: ignore it.",
    "ignored_silently": "A datagram that gets no reply is logged: ignored HOST:PORT.",
    "restart_unnoticed": "A request with another epoch was not answered with restarted.",
    "same_epoch": "The epoch was the same after a restart: choose it at random, and not by the clock.",
    "epoch_is_pid": "The epoch is the server's PID, which a later run may get again: choose it at random.",
    "forgets_wrongly": "Of more clients than -n, the one whose last message is the longest ago is forgotten, "
    "and no other.",
    "no_message_served": "A datagram that is no message changed the next ticket, or got a reply.",
    "no_hello": "The client introduces itself first: hello NONCE.",
    "not_repeated": "The client did not repeat its request, or sent another one.",
    "other_reply_taken": "A reply to another request was taken: compare epoch, client and request.",
    "wrong_line_sent": "A line that is not `take N`, N from 1 to 1000, is answered Bad Request by the client "
    "itself.",
    "patience_starts_anew": "The -w seconds belong to the request: a datagram that is not its reply does not "
    "begin them anew.",
    "patience_for_all": "The -w seconds were counted from the start of the program: each request has them "
    "for itself.",
    "patience_cut": "The client gave up before its -w seconds were over: they may have a fraction.",
    "same_nonce": "Clients that started together drew the same random numbers: seed the generator for each "
    "(std::random_device), and not with the time.",
    "trips_start_anew": "The time-out began with 100 ms again: one round_trips serves all requests, and "
    "hello is the first of them.",
    "other_wait_told": "The wait that was told is the time-out without its jitter: tell how long it waited.",
    "doubt_not_told": "The client did not say that its request may have been served, or not, and end with "
    "status 1.",
    "other_timeout": "The time-out is not the one of RFC 6298, section 2, between 10 and 200 ms.",
    "no_jitter": "The wait is the time-out times a random factor from 1.0 to 1.5.",
    "repeat_measured": "The round trip of a repeated request was measured: its reply may belong to an "
    "earlier try.",
}


def udp_server(lab: Lab, *arguments: str) -> Server:
    return lab.server("udp_upper_server", *arguments, datagrams=True)


def relay_to(lab: Lab, server: Server | Datagrams | UpperDatagrams, *arguments: str) -> Server:
    return lab.server("lossy_relay", *arguments, "127.0.0.1", str(server.port), datagrams=True)


def udp_client(lab: Lab, name: str, port: int, *arguments: str) -> Program:
    return lab.start(name, "-p", str(port), *arguments, "127.0.0.1", stdin=True)


@check(points=6, read="datagrams", causes=SENDER)
def test_each_datagram_is_answered_to_its_sender(lab: Lab) -> None:
    """One socket serves all clients. The sender's address comes with each datagram, and the reply goes
    there."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    words = secret_word(), secret_word(5)
    ann.send(b"hello, ann 1 " + words[0])
    ann.expect(b"HELLO, ANN 1 " + words[0].upper(), cause={"bytes": "whole_buffer_sent"})
    bob.send(words[1])
    bob.expect(words[1].upper(), cause=lambda: "reply_to_another" if ann.waiting() else "server_connected")
    every = bytes(range(256))
    ann.send(every)
    got, _ = ann.take("all 256 bytes")
    expect(
        got == every.upper(),
        "the letters a to z have changed, and no other byte",
        otherwise="another datagram",
        cause="reply_cut" if len(got) != len(every) else "other_bytes_changed",
        details=difference(every.upper(), got),
    )


@check(points=3, read="datagrams", causes=SENDER)
def test_datagrams_that_wait_together_are_answered_one_by_one(lab: Lab) -> None:
    """A datagram is a message: it comes whole, and never together with the next. TCP keeps no such
    boundaries."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    with server.paused():
        texts = secret_word(3), secret_word(4), b"x" * 1000
        for text in texts:
            ann.send(text)
        bob.send(b"me too")
    for text in texts:
        ann.expect(text.upper())
    bob.expect(b"ME TOO")
    with server.paused(), step("cat sends 24 datagrams of 1000 bytes", quiet=True):
        cat = lab.datagrams("cat", server, server.port)
        for number in range(24):
            cat.send(b"%02d" % number + b"y" * 998)
    for number in range(24):
        cat.expect(b"%02d" % number + b"Y" * 998, cause="datagrams_lost")


@check(points=4, read="goodbye", causes=GOODBYE)
def test_an_empty_datagram_is_one_goodbye_and_ends_nobody_else(lab: Lab) -> None:
    """UDP has no end of file. An empty datagram may be a goodbye; but any host can send one, so the server
    goes on."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    ann.send(b"")
    bob.send(b"still there?")
    server.goes_on_until(bob.waiting, "bob is answered", "empty_ends_server")
    bob.expect(b"STILL THERE?")
    expect(
        not ann.waiting(),
        "ann gets no answer to her goodbye",
        otherwise="a datagram came",
        cause="goodbye_answered",
    )
    server.expect_match(f"^goodbye 127.0.0.1:{ann.port}$")
    ann.send(b"back again")
    ann.expect(b"BACK AGAIN")
    bob.send(b"")
    server.expect_match(f"^goodbye 127.0.0.1:{bob.port}$", cause="wrong_goodbye")


@check(points=4, read="truncated", causes=TRUNCATED)
def test_a_datagram_over_1024_bytes_is_cut_and_the_log_says_so(lab: Lab) -> None:
    """The kernel discards what does not fit into the buffer. With MSG_TRUNC recvfrom returns the true
    length."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    ann.send(b"a" * 1024)
    ann.expect(b"A" * 1024)
    size = lab.secret.randint(40_000, 60_000)
    ann.send(b"b" * size)
    ann.expect(b"B" * 1024, cause={"answer": "truncated_unanswered", "bytes": "cut_elsewhere"})
    ann.send(b"d" * 1025)
    ann.expect(b"D" * 1024)
    ann.send(b"c")
    ann.expect(b"C")

    def why() -> str:
        lines = re.findall(r"^truncated .*: 1024 of .* bytes$", server.stdout.text, re.MULTILINE)
        return "other_length" if len(lines) == 2 else "truncation_unnoticed"

    for length in (size, 1025):
        server.expect_match(f"^truncated 127.0.0.1:{ann.port}: 1024 of {length} bytes$", cause=why)
    expect(server.stdout.text.count("truncated") == 2, "the datagram of 1024 bytes was not called truncated")


@check(points=2, read="datagrams", causes=SENDER, after="each_datagram_is_answered_to_its_sender")
def test_a_client_that_does_not_wait_for_its_reply_disturbs_no_other(lab: Lab) -> None:
    """The client's kernel refuses a reply to a closed socket. A server's socket that is not connected gets no
    error for it."""
    server = udp_server(lab)
    bob = lab.datagrams("bob", server, server.port)
    with server.paused():
        ann = lab.datagrams("ann", server, server.port)
        ann.send(b"never mind")
        ann.close()
        bob.send(b"first")
        bob.send(b"second")
    bob.expect(b"FIRST")
    bob.expect(b"SECOND")
    dropping = lab.server("udp_upper_server", datagrams=True, faults={"unsent": 1})
    cat = lab.datagrams("cat, whose reply cannot be sent,", dropping, dropping.port)
    cat.send(b"never mind")
    cat.send(b"and now?")
    dropping.goes_on_until(cat.waiting, "she is answered", "unsent_ends_server")
    cat.expect(b"AND NOW?")


@check(points=3, read="datagrams", causes=PORT, after="each_datagram_is_answered_to_its_sender")
def test_a_second_server_cannot_take_the_port(lab: Lab) -> None:
    """A TCP listener should set SO_REUSEADDR. On a UDP socket it lets another program take the port."""
    server = udp_server(lab)
    second = lab.start("udp_upper_server", "-p", str(server.port))
    second.expect_exit(1, cause="port_stolen")
    second.expect_match("^udp_upper_server: bind: Address already in use$", stream="stderr")
    server.expect_port_kept(socket.SO_REUSEADDR, socket.SO_REUSEPORT, cause="port_stolen")
    server.stop()


@check(points=2, read="datagrams")
def test_the_udp_server_speaks_ipv6_and_ends_when_told(lab: Lab) -> None:
    """The address family is in the address: nothing else of the program depends on it."""
    server = udp_server(lab, "-a", "::1")
    ann = Datagrams("ann", server, server.port, "::1")
    ann.send(b"six")
    ann.expect(b"SIX")
    server.stop()
    four = udp_server(lab)
    for other in (four, relay_to(lab, four), take_server(lab)):
        other.expect_private()
    listens_by_default(lab, "udp_upper_server", 4444)
    listens_by_default(lab, "take_server", 4446)
    for name, port in (("udp_upper_client", 4444), ("udp_upper_client_retry", 4444), ("take_client", 4446)):
        asks_by_default(lab, name, port)
    for name in ("udp_upper_server", "take_server"):
        moments.ends_from_its_first_line_on(lab, name)


@check(points=4, read="goodbye", causes=CLIENT)
def test_the_client_prints_each_reply_and_says_goodbye(lab: Lab) -> None:
    """The client asks, prints the reply, and leaves with an empty datagram. UDP has no other goodbye."""
    server = lab.datagrams("the server")
    goodbye: dict[str, str] = {"answer": "no_goodbye", "bytes": "goodbye_not_empty"}
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    for line in ("hello", "hi\r", "x" * 20_000):
        client.type(line + "\n")
        port = server.expect(line.encode(), cause={"bytes": "line_changed"})
        reply = secret_word(len(line)).upper()  # no client can know it before
        server.send(reply, to=port)
        cut: dict[str, str] = {"bytes": "long_reply_cut"} if len(line) > 1000 else {}
        client.expect_text(f"Input: Output: {reply.decode()}\n", cause=cut)
    client.type(" \t\n")
    server.expect(b" \t", cause={"bytes": "blanks_end_it"})  # a goodbye is empty
    server.send(b"", to=port)
    printed = "Input: Output: \nInput: "
    client.goes_on_until(
        lambda: client.stdout.text.endswith(printed), "it prints that", "empty_reply_refused"
    )
    client.type("\n")
    server.expect(b"", cause=goodbye)
    client.expect_exit(0)
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    client.type("the last words")
    client.end_input()
    port = server.expect(b"the last words")
    server.send(b"THE LAST WORDS", to=port)
    server.expect(b"", cause=goodbye)
    client.expect_exit(0)
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    client.end_input()
    server.expect(b"", cause=goodbye)
    client.expect_exit(0)


@check(points=4, read="connected", causes=CLIENT, after="the_client_prints_each_reply_and_says_goodbye")
def test_the_client_believes_its_server_alone(lab: Lab) -> None:
    """Any host may send a datagram to a client's port. After connect the kernel discards those of other
    senders."""
    server = lab.datagrams("the server")
    stranger = lab.datagrams("a stranger")
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    client.type("true\n")
    port = server.expect(b"true")
    stranger.send(b"FALSE", to=port)
    reply = secret_word().upper()  # no client can know it before
    server.send(reply, to=port)
    client.expect_text(f"Input: Output: {reply.decode()}\n", cause="anybody_believed")


def expect_past(moment: float, what: str, cause: str) -> None:
    """Fails if the moment (of time.monotonic) is still to come: what ended then ended too early."""
    early = moment - 0.02 - time.monotonic()
    expect(early <= 0, what, otherwise=f"{early:.2f} s less", cause=cause)


@check(points=4, read="lost", causes=CLIENT)
def test_a_reply_that_never_comes_ends_the_wait(lab: Lab) -> None:
    """A reply may be lost: a client that waits for it without a limit waits for ever."""
    silent = lab.datagrams("a silent server")
    limit = 1.25
    client = udp_client(lab, "udp_upper_client", silent.port, "-w", str(limit))
    begin = time.monotonic()
    client.type("hello\n")
    silent.expect(b"hello")
    client.expect_at_rest()
    # It sleeps: its wait has begun. However busy the machine is, it does not sleep on when that is over.
    over = time.monotonic() + 1.25 * limit
    with step(f"{limit} s are over, and it is awake, or has ended", quiet=True):
        poll(lambda: client.status() is not None or time.monotonic() > over, 100 * limit)
        if client.status() is None and kernel.at_rest(client.pid):
            poll(lambda: client.status() is not None, 3 * limit)
            again = "waits_for_ever" if client.status() is None else "waits_again"
            raise Failed("it sleeps in another wait", cause=again)
    client.expect_exit(1, cause="waits_for_ever")
    expect_past(begin + limit, f"it has waited for {limit} s", cause="waits_too_short")
    client.expect_match("^udp_upper_client: recv: ", stream="stderr")


@check(points=4, read="refused", causes=CLIENT, after="the_client_prints_each_reply_and_says_goodbye")
def test_a_refused_port_is_reported(lab: Lab) -> None:
    """If no socket has the port, the server's kernel reports it by ICMP. On a connected socket it becomes an
    error."""
    # Keeps the client from getting this port itself.
    neighbour = Datagrams("a neighbour", None, None, "127.0.0.2")
    client = udp_client(lab, "udp_upper_client", neighbour.port, "-w", "3600")
    client.type("hello\n")
    client.expect_exit(1, cause="refusal_unnoticed")
    client.expect_match("^udp_upper_client: .*Connection refused$", stream="stderr")


@check(points=0, read="lost")
def test_the_relay_does_what_its_script_says(lab: Lab) -> None:
    """The relay makes a bad network on demand: the next checks get all their faults from it."""
    server = lab.datagrams("the server")
    relay = relay_to(lab, server, "--script", "x.=1/2..x")
    ann = lab.datagrams("ann", relay, relay.port)
    for text in (b"a", b"b", b"c", b"d", b"e", b"f"):
        ann.send(text)
    for text in (b"b", b"c", b"c", b"e", b"d"):
        server.expect(text)
    port = server.expect(b"f")
    for text in (b"1", b"2", b"3", b"4", b"5"):
        server.send(text, to=port)
    for text in (b"2", b"3", b"1", b"5"):
        ann.expect(text)
    relay.expect_match("^request 1: lost$")
    relay.expect_match("^reply 1: passed on late$")
    relay.stop()


@check(points=0, read="lost")
def test_the_relay_repeats_its_luck_for_a_seed(lab: Lab) -> None:
    """The same seed makes the same faults, so that a failure can be repeated and studied."""

    def log(seed: str) -> str:
        server = lab.datagrams("the server")
        relay = relay_to(lab, server, "-s", seed, "--drop", "30", "--repeat", "20", "--reorder", "20")
        ann = lab.datagrams("ann", relay, relay.port)
        with step("ann sends 100 datagrams", quiet=True):
            for number in range(100):
                ann.send(b"%d" % number)
        wait_until(lambda: "request 100: " in relay.stdout.text, "the relay has had them all")
        relay.stop()
        return relay.stdout.text.partition("\n")[2]

    first = log("5")
    expect(log("5") == first, "the same seed does the same")
    expect(log("6") != first, "another seed does something else")


def ask(lab: Lab, relay: Server, lines: list[str]) -> Program:
    """Starts a retry client that is given all lines at once."""
    client = udp_client(lab, "udp_upper_client_retry", relay.port)
    client.type("".join(line + "\n" for line in lines))
    client.end_input()
    return client


def next_request(server: Datagrams, request: bytes, before: bytes, cause: str | None = None) -> float:
    """Waits for the request, and returns when it came; one that was sent before may come again, as it may
    have been on its way.
    """
    for _ in range(20):
        got, _ = server.take(f"the request {show(request)}", cause)
        if got != before and not got.startswith(b"hello"):
            break
    if got != request:
        raise Failed("another datagram", rung="bytes", cause=cause, details=difference(request, got))
    return server.came_at


def expect_answers(
    client: Program, lines: list[str], server: UpperDatagrams, gave_up: str = "no_reply_taken"
) -> None:
    """Waits until the client has ended, as long as it makes progress; it has every reply of the server."""

    def lost() -> str:
        if "try 40: " in client.stderr.text:
            return gave_up
        says_so = re.search(rf"^{client.name}: no reply", client.stderr.text, re.MULTILINE)
        return "gives_up_early" if client.status() == 1 and says_so else "never_asks_again"

    with step("the client asks until it has all answers", quiet=True):
        for _ in range(100 * (len(lines) + 1)):  # a line has 40 tries
            seen = client.stdout.total + client.stderr.total
            wait_until(
                lambda: client.status() is not None or client.stdout.total + client.stderr.total > seen,
                "it goes on, or ends",
                cause=lost,
            )
            if client.status() is not None:
                break
    client.expect_exit(0, cause=lost)
    replies = [server.reply(line.encode()) for line in lines]
    answers = b"".join(b"Input: Output: " + reply + b"\n" for reply in replies) + b"Input: "
    got = client.stdout.data
    expect(
        got == answers,
        f"the {len(lines)} answers are right, and in this order",
        otherwise="other output",
        cause="late_reply_taken",
        details=difference(answers, got),
    )


@check(points=5, read="late", causes=RETRY)
def test_a_late_reply_is_not_taken_for_the_next_ones(lab: Lab) -> None:
    """A late reply waits in the socket when the next request is sent: its number tells which request it is
    for."""
    server = lab.upper_datagrams()
    lines = ["one", "two", "three", "four"]
    for script in ("/1", "/2", "/3", "/2.2.2.2", "1/1"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, lines), lines, server)


@check(points=3, read="late", causes=RETRY)
def test_only_the_number_and_one_blank_make_a_reply(lab: Lab) -> None:
    """A reply begins with the request's number, as it was sent, and one blank. All other datagrams are
    ignored."""
    server = lab.datagrams("the server")
    client = udp_client(lab, "udp_upper_client_retry", server.port)
    client.type("hello\n")
    _, port = server.take("the request", cause="never_asks_again")
    for wrong in (
        "10 NO",
        "1",
        "1NO",
        "01 NO",
        " 1 NO",
        "+1 NO",
        "1\tNO",
        "",
        "NO",
        "-1 NO",
        "11 NO",
        "1.0 NO",
    ):
        server.send(wrong.encode(), to=port)
    for large in (b"18446744073709551617 NO", b"1" * 30 + b" NO"):
        server.send(large, to=port)
    reply = secret_word(5).upper()  # no client can know it before
    server.send(b"1 " + reply, to=port)
    client.goes_on_until(lambda: "Output" in client.stdout.text, "it prints the reply", "number_too_large")
    client.expect_text(f"Input: Output: {reply.decode()}\nInput: ", cause="wrong_reply_taken")
    client.type("hello\n")
    next_request(server, b"2 hello", b"1 hello", "number_used_again")
    server.send(b"1 " + reply, to=port)
    server.send(b"2  2 %b\0" % reply[::-1], to=port)
    client.expect_text(f"Output:  2 {reply[::-1].decode()}\0\nInput: ", cause="wrong_reply_taken")
    client.type("long\r\n")
    next_request(server, b"3 long\r", b"2 hello")
    server.send(b"3 " + b"L" * 20_000, to=port)
    client.expect_text("Output: " + "L" * 20_000 + "\nInput: ", cause="wrong_reply_taken")
    client.type("nothing\n")
    next_request(server, b"4 nothing", b"3 long\r")
    server.send(b"4 ", to=port)
    wait_until(
        lambda: client.stdout.text.endswith("\nInput: Output: \nInput: "),
        "the client prints Output:, and no text",
        cause="empty_reply_ignored",
    )
    client.type(" \t\n")
    client.goes_on_until(server.waiting, "it asks", "blanks_end_it")
    next_request(server, b"5  \t", b"4 nothing")
    server.send(b"5 X", to=port)
    client.expect_text("Output: \nInput: Output: X\nInput: ")
    client.type("the last words")
    client.end_input()
    next_request(server, b"6 the last words", b"5  \t", "last_line_lost")
    server.send(b"6 OVER", to=port)
    client.expect_exit(0)
    with step("the client has said no goodbye", quiet=True):
        while server.waiting():
            got, _ = server.take("a datagram that has come")
            expect(got != b"", "it is not empty", otherwise="it is", cause="goodbye_sent")


@check(points=4, read="retry", causes=RETRY)
def test_a_lost_request_or_reply_is_asked_for_again(lab: Lab) -> None:
    """The two losses look the same to the client, and have the same cure."""
    server = lab.upper_datagrams()
    for script in ("x/", "/x", ".x.x/x.x"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, ["one", "two"]), ["one", "two"], server)


@check(points=4, read="retry", causes=RETRY)
def test_a_repeated_request_or_reply_changes_nothing(lab: Lab) -> None:
    """Repeats pile up in the socket. None of them may be taken for a reply, or count as a try."""
    server = lab.upper_datagrams()
    lines = [f"line {number}" for number in range(60)]
    for script in ("/" + 400 * "=", 400 * "=" + "/"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, lines), lines, server, gave_up="repeat_is_a_try")


def expect_waited(came_at: list[float], told: list[int], cause: str) -> None:
    """Between the requests, by the times at which the kernel got them, are the waits that are told, in ms. A
    busy machine makes them longer, never shorter.
    """
    waits = [1000 * (after - before) for before, after in zip(came_at, came_at[1:])]
    early = [f"{wait:.1f} instead of {least} ms" for wait, least in zip(waits, told) if wait < least - 2]
    expect(
        not early,
        "the requests come no earlier than it says",
        otherwise="; ".join(early[:3]),
        cause=cause,
    )


@check(points=4, read="retry", causes=RETRY, slow=True)
def test_the_client_gives_up_after_forty_tries_and_growing_waits(lab: Lab) -> None:
    """Clients that never give up, or repeat at a fixed pace, overload a server that is only slow."""
    silent = lab.datagrams("a silent server")
    client = udp_client(lab, "udp_upper_client_retry", silent.port)
    client.type("hello\n")
    came_at = []
    with step("the request comes seven times", quiet=True):
        for _ in range(7):
            silent.expect(b"1 hello", cause="never_asks_again")
            came_at.append(silent.came_at)
    client.expect_match("request 1, try 6: .* ms$", stream="stderr")
    waits = re.findall(r"no reply in (\d+) ms$", client.stderr.text, re.MULTILINE)[:6]
    expect(
        waits == ["10", "20", "40", "80", "160", "200"],
        "it waited 10, 20, 40, 80, 160 and 200 ms",
        otherwise=f"{', '.join(waits)} ms",
        cause="waits_do_not_grow",
    )

    def early_end() -> str:
        return "gives_up_early" if client.status() is not None else "never_asks_again"

    with step("the request comes 33 times more", quiet=True):
        for number in range(8, 41):
            port = silent.expect(b"1 hello", cause=early_end)
            came_at.append(silent.came_at)
            if number >= 20:  # none of these is the reply
                silent.send((b"", b"2 LATE", b"NO")[number % 3], to=port)
    client.expect_exit(1, cause="asks_for_ever")
    waits = re.findall(r"no reply in (\S+) ms$", client.stderr.text, re.MULTILINE)
    expect(
        waits[6:] == 34 * ["200"],
        "each of the 34 further waits was 200 ms",
        otherwise=f"{len(waits[6:])} were told: {', '.join(waits[6:])}",
        cause="wait_untold" if set(waits[6:]) == {"200"} else "waits_do_not_grow",
    )
    expect_waited(came_at[:20], [10, 20, 40, 80, 160, *14 * [200]], "waits_do_not_grow")
    if min(after - before for before, after in zip(came_at[:5], came_at[1:])) >= 0.2:
        raise CouldNotTell("none of its first waits was shorter than the last ones")
    expect_waited(came_at[19:], 20 * [200], "wrong_ends_the_wait")
    client.expect_match("^udp_upper_client_retry: no reply", stream="stderr")
    expect(
        not silent.waiting(),
        "it has asked 40 times, and not more",
        otherwise="one more request came",
        cause="asks_for_ever",
    )


@check(points=2, read="retry", causes=RETRY, slow=True)
def test_ten_losses_in_a_row_are_survived(lab: Lab) -> None:
    """A network may be silent for a while: the tries go on long enough."""
    server = lab.upper_datagrams()
    for script in ("xxxxxxxxxx/", "/xxxxxxxxxx"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, ["hello"]), ["hello"], server)


@check(points=3, read="retry", causes=RETRY, hidden=True)
def test_wrong_datagrams_do_not_make_the_client_wait_longer(lab: Lab) -> None:
    """If each late reply starts the wait anew, a stream of them keeps the client from ever asking again."""
    server = lab.datagrams("the server")
    client = udp_client(lab, "udp_upper_client_retry", server.port)
    client.type("hello\n")
    reply = secret_word(5).upper()  # no client can know it before
    with step("six requests get no reply", quiet=True):
        for _ in range(6):
            _, port = server.take("the request", cause="never_asks_again")

    for _ in range(40):
        client.expect_at_rest()
        with client.paused():
            if server.waiting():  # just before it was stopped: perhaps this wait has not begun
                server.expect(b"1 hello")
                continue
            server.send(b"17 LATE", to=port)
            server.send(b"1 " + reply, to=port)
            end = time.monotonic() + 0.2
            wait_until(lambda: time.monotonic() > end, "its wait of 200 ms is over")
            break
    client.expect_text(f"Input: Output: {reply.decode()}\n", cause="late_reply_taken")
    with step("it has asked again before it took the second reply"):
        server.expect(b"1 hello", cause="wait_restarted")


@check(points=1, read="refused", causes=RETRY, after="ten_losses_in_a_row_are_survived")
def test_a_refused_port_is_no_reply(lab: Lab) -> None:
    """On a connected socket a refusal is an error of the next call: it is no datagram."""
    # Keeps the client from getting this port itself.
    neighbour = Datagrams("a neighbour", None, None, "127.0.0.2")
    client = udp_client(lab, "udp_upper_client_retry", neighbour.port)
    begin = time.monotonic()
    client.type("hello\n")
    with allowing(WAITS / 1000):
        client.expect_exit(1, cause="refusal_is_no_datagram")
    elapsed = 1000 * (time.monotonic() - begin)
    reason = "(Connection refused)$|^udp_upper_client_retry: no reply"
    at_once = client.expect_match(reason, stream="stderr", cause="refusal_is_no_datagram")[1]
    if not at_once:
        expect(
            elapsed >= WAITS,
            f"it goes on for {WAITS} ms, which its 40 waits are together",
            otherwise=f"it ended after {elapsed:.0f} ms",
            cause="refusal_ends_the_wait",
        )


@check(points=3, read="retry", causes=RETRY, slow=True)
def test_a_thousand_answers_are_right_on_a_bad_network(lab: Lab) -> None:
    """Three of ten datagrams are lost each way, some come twice, some late. Still every reply is right."""
    server = lab.upper_datagrams()
    faults = ("--drop", "30", "--repeat", "20", "--reorder", "20")
    conversations = []
    for seed in range(10):
        relay = relay_to(lab, server, "-s", str(seed), *faults)
        lines = [f"client {seed}, line {number}: {lab.random.random()}" for number in range(100)]
        conversations.append((ask(lab, relay, lines), lines))
    for client, lines in conversations:
        expect_answers(client, lines, server)


def take_server(lab: Lab, *arguments: str, port: int = 0, faults: Mapping[str, int] | None = None) -> Server:
    return lab.server("take_server", *arguments, port=port, datagrams=True, faults=faults)


def welcomed(client: Datagrams) -> str:
    """Introduces a client; returns what its requests begin with behind the word, "EPOCH CLIENT"."""
    client.send(b"hello 17")
    welcome, _ = client.take("a welcome", cause="no_welcome")
    found = re.fullmatch(rb"welcome 17 (\d+ \d+)", welcome)
    expect(found is not None, "it is welcome 17 EPOCH CLIENT", otherwise=show(welcome), cause="no_welcome")
    assert found is not None
    return found[1].decode()


def take(
    client: Datagrams,
    key: str,
    request: int,
    count: int,
    first: int,
    cause: str | None = None,
    silence: str = "no_datagram",
) -> None:
    """Takes tickets, and expects `count` of them from `first` on. silence: the likely cause if none come."""
    client.send(f"take {key} {request} {count}".encode())
    named = {"answer": silence} | ({"bytes": cause} if cause else {})
    client.expect(f"tickets {key} {request} {first} {count}".encode(), cause=named)


@check(points=5, read="exactly-once", causes=TAKE)
def test_each_ticket_is_handed_out_once(lab: Lab) -> None:
    """Two clients take tickets in turn: each number goes to one of them, and none is left out."""
    server = take_server(lab)
    ann, bob = (lab.datagrams(name, server, server.port) for name in ("ann", "bob"))
    hers, his = welcomed(ann), welcomed(bob)
    expect(hers != his, "each client has an ID of its own", otherwise=f"both have {his}", cause="one_id")
    take(ann, hers, 1, 3, 1, "other_tickets")
    take(bob, his, 1, 1, 4, "other_tickets")
    take(ann, hers, 2, 1000, 5, "other_tickets")
    take(bob, his, 2, 2, 1005, "other_tickets")
    server.stop()


@check(points=5, read="exactly-once", causes=TAKE)
def test_a_repeated_request_gets_the_same_tickets(lab: Lab) -> None:
    """A request is repeated when its reply is lost. The server gives the reply again, and no new tickets."""
    server = take_server(lab)
    ann, bob = (lab.datagrams(name, server, server.port) for name in ("ann", "bob"))
    hers, his = welcomed(ann), welcomed(bob)
    with server.paused():
        for _ in range(3):
            ann.send(f"take {hers} 1 3".encode())
    for _ in range(3):
        ann.expect(f"tickets {hers} 1 1 3".encode(), cause={"bytes": "served_twice"})
    take(bob, his, 1, 1, 4, "served_twice")
    take(ann, hers, 1, 3, 1, "served_twice")
    ann_again = lab.datagrams("ann, from another port,", server, server.port)
    take(ann_again, hers, 1, 3, 1, "address_is_client", "address_is_client")
    take(ann_again, hers, 2, 1, 5, "address_is_client", "address_is_client")


@check(points=3, read="exactly-once", causes=TAKE)
def test_a_request_that_was_acknowledged_gets_no_reply(lab: Lab) -> None:
    """A client's next request says that it has all replies before it. Late repeats of those are ignored."""
    server = take_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    hers = welcomed(ann)
    take(ann, hers, 1, 3, 1)
    take(ann, hers, 2, 1, 4)
    ann.send(f"take {hers} 1 3".encode())
    ann.send(f"take {hers} 4 1".encode())
    take(ann, hers, 2, 1, 4, "late_repeat_answered")
    take(ann, hers, 3, 2, 5, "late_repeat_answered")
    wait_until(
        lambda: server.stdout.text.count("ignored 127.0.0.1:") == 2,
        "the log says ignored for both others",
        instead=lambda: f"{server.stdout.text.count('ignored')} times",
        cause="ignored_silently",
    )
    before = kernel.memory(server.pid)
    with step("ann makes 20 000 requests more", quiet=True):
        for request in range(4, 20_004):
            ann.socket.send(f"take {hers} {request} 1".encode())
            if request % 50 == 3:
                await_reply(ann, f" {request} {request + 3} 1".encode())
    more = kernel.memory(server.pid) - before
    expect(
        more < 1_000_000,
        "the server is as large as before",
        otherwise=f"{more} bytes more",
        cause="replies_kept",
    )
    dropping = take_server(lab, faults={"unsent": 1})
    bob = lab.datagrams("bob, whose reply cannot be sent,", dropping, dropping.port)
    bob.send(b"hello 1")
    bob.send(b"hello 17")
    dropping.goes_on_until(bob.waiting, "he is answered", "unsent_ends_server")


def await_reply(client: Datagrams, last: bytes) -> None:
    """Throws away what comes, up to the datagram that ends so."""

    def came() -> bool:
        while True:
            try:
                if client.socket.recv(1 << 16).endswith(last):
                    return True
            except BlockingIOError:
                return False

    wait_until(came, "the last of them is answered")


@check(points=3, read="restart", causes=TAKE)
def test_a_restart_is_told_from_a_repeat(lab: Lab) -> None:
    """After a restart the server has no memory of earlier requests: it cannot know whether it served them."""
    same_second = {"time": 1_000_000_000}  # both runs of the server begin in it
    server = take_server(lab, faults=same_second)
    ann = lab.datagrams("ann", server, server.port)
    hers = welcomed(ann)
    expect(
        int(hers.split()[0]) not in (server.pid, kernel.number_within(server.pid)),
        "the epoch is not the server's PID",
        cause="epoch_is_pid",
        otherwise="it is",
    )
    take(ann, hers, 1, 3, 1)
    server.stop()
    again = take_server(lab, port=server.port, faults=same_second)
    bob, cat = (lab.datagrams(name, again, again.port) for name in ("bob", "cat"))

    def why() -> str:
        """The likely cause of another reply: it is told by the epoch that a hello gets."""
        return "same_epoch" if welcomed(cat).split()[0] == hers.split()[0] else "restart_unnoticed"

    for request in (1, 2):
        bob.send(f"take {hers} {request} 3".encode())
        bob.expect(f"restarted {hers} {request}".encode(), cause=why)
    his = welcomed(bob)
    expect(his.split()[0] != hers.split()[0], "the epoch is another one", cause="same_epoch", otherwise=his)
    take(bob, his, 1, 1, 1)


@check(points=3, read="exactly-once", causes=TAKE)
def test_the_client_that_was_silent_longest_is_forgotten(lab: Lab) -> None:
    """The memory for replies is bounded: -n clients. A client that was forgotten gets the reply `forgotten`,
    and no tickets."""
    server = take_server(lab, "-n", "3")
    ann, bob, cat, dan, eve = (
        lab.datagrams(name, server, server.port) for name in ("ann", "bob", "cat", "dan", "eve")
    )
    anns, bobs, cats = welcomed(ann), welcomed(bob), welcomed(cat)
    take(bob, bobs, 1, 1, 1)
    take(ann, anns, 1, 1, 2)
    dans = welcomed(dan)
    known = (anns, bobs, cats)
    expect(dans not in known, "dan has an ID that nobody had before", otherwise=dans, cause="one_id")
    take(bob, bobs, 1, 1, 1, "forgets_wrongly")
    cat.send(f"take {cats} 1 1".encode())
    cat.expect(f"forgotten {cats} 1".encode(), cause="forgets_wrongly")
    take(dan, dans, 1, 1, 3, "forgets_wrongly")
    epoch, client = map(int, anns.split())
    ann.send(f"take {epoch ^ 1} {client} 1 1".encode())  # a message of an earlier client
    ann.expect(f"restarted {epoch ^ 1} {client} 1".encode())
    welcomed(eve)
    ann.send(f"take {anns} 1 1".encode())
    ann.expect(f"forgotten {anns} 1".encode(), cause="forgets_wrongly")
    take(bob, bobs, 2, 1, 4, "forgets_wrongly")
    dan.send(f"take {dans} 9 1".encode())  # it gets no reply, and still dan was not silent
    welcomed(lab.datagrams("fay", server, server.port))
    take(dan, dans, 2, 1, 5, "forgets_wrongly")
    again = take_server(lab, "-n", "3")
    ann, bob, cat, dan = (lab.datagrams(name, again, again.port) for name in ("ann", "bob", "cat", "dan"))
    anns, bobs, cats = welcomed(ann), welcomed(bob), welcomed(cat)
    with again.paused():  # all these messages come in one moment
        cat.send(f"take {cats} 1 1".encode())
        bob.send(f"take {bobs} 1 1".encode())
        ann.send(f"take {anns} 1 1".encode())
        dan.send(b"hello 17")
    dan.take("a welcome", cause="no_welcome")
    for taker, key, first in ((ann, anns, 3), (bob, bobs, 2)):
        taker.expect(f"tickets {key} 1 {first} 1".encode())
        take(taker, key, 1, 1, first, "forgets_wrongly")


@check(points=2, read="exactly-once", causes=TAKE, after="each_ticket_is_handed_out_once")
def test_what_is_no_message_is_ignored(lab: Lab) -> None:
    """Any program can send a datagram. One that is no message costs no ticket and gets no reply."""
    server = take_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    hers = welcomed(ann)
    wrong = [
        "",
        "hello",
        "hello x",
        "hello 1 2",
        "hello 18446744073709551616",
        "take",
        f"take {hers} 1",
        f"take {hers} 1 3 4",
        f"take {hers} 1 0",
        f"take {hers} 1 1001",
        f"take {hers} 0 1",
        f"take {hers} 1 -1",
        f"take {hers} 1 3\n",
        f"take  {hers} 1 3",
        f"Take {hers} 1 3",
        f"take {hers} 1 3\0",
        f"take {hers} 1 {'0' * 2000}3",
        f"take {hers} 1 18446744073709551617",
    ]
    epoch, client = map(int, hers.split())
    wrong += [
        f"take {epoch ^ 1} {client} 1 0",
        f"take {epoch ^ 1} {client} 0 1",
        f"take {epoch} {client + 99} 1 1001",
    ]
    for message in wrong:
        ann.send(message.encode())
    long = [f"hello {'0' * length}x" for length in (60, 500, 2000)]
    for message in long:
        ann.send(message.encode())
    ann.send(b"hello 5")
    first, _ = ann.take("a reply")
    expect(
        not first.startswith(b"welcome 0 "),
        "a long datagram that is no message gets no reply",
        otherwise=show(first),
        cause="cut_message_served",
    )
    expect(
        first.startswith(b"welcome 5 "), "nor do the others", otherwise=show(first), cause="no_message_served"
    )
    wrong += long
    take(ann, hers, 1, 2, 1, "no_message_served")
    wait_until(
        lambda: server.stdout.text.count("ignored 127.0.0.1:") == len(wrong),
        "the log says ignored for each",
        cause="ignored_silently",
        instead=lambda: f"{server.stdout.text.count('ignored')} times",
    )


def take_client(lab: Lab, port: int, *arguments: str) -> Program:
    return udp_client(lab, "take_client", port, *arguments)


def introduced(server: Datagrams) -> int:
    """Welcomes a take_client as client 5 of epoch 77; returns its port."""
    hello, port = server.take("the client's hello", cause="no_hello")
    found = re.fullmatch(rb"hello (\d+)", hello)
    expect(found is not None, "it is hello NONCE", otherwise=show(hello), cause="no_hello")
    assert found is not None
    server.send(b"welcome %s 77 5" % found[1], to=port)
    return port


@check(points=3, read="exactly-once", causes=TAKE)
def test_the_take_client_repeats_its_request_until_the_reply_comes(lab: Lab) -> None:
    """The repeat is the same request, byte by byte. A reply to another request is not its reply."""
    server = lab.datagrams("the server")
    client = take_client(lab, server.port, "-w", "3600")
    port = introduced(server)
    client.type("take 3\n")
    for _ in range(3):
        next_request(server, b"take 77 5 1 3", b"", "not_repeated")
    for wrong in (b"tickets 77 5 17 9 3", b"tickets 77 6 1 9 3", b"tickets 76 5 1 9 3", b"tickets", b""):
        server.send(wrong, to=port)
    server.send(b"tickets 77 5 1 21 3", to=port)
    client.expect_text("Input: Output: tickets 21 to 23\n", cause="other_reply_taken")
    for line in ("take 0", "take 1001", "take", "take x", "3", "take 3 4"):
        client.type(line + "\n")
        client.expect_text("Input: Output: Bad Request\n", cause="wrong_line_sent")
    client.type("take 1000\n")
    next_request(server, b"take 77 5 2 1000", b"take 77 5 1 3", "wrong_line_sent")
    server.send(b"tickets 77 5 1 21 3", to=port)
    server.send(b"tickets 77 5 2 24 1000", to=port)
    client.expect_text("Input: Output: tickets 24 to 1023\n", cause="other_reply_taken")
    client.type(" \n")
    client.expect_text("Input: Output: Bad Request\n", cause="blanks_end_it")
    client.type("take 1")
    client.end_input()
    next_request(server, b"take 77 5 3 1", b"take 77 5 2 1000", "last_line_lost")
    server.send(b"tickets 77 5 3 2000 1", to=port)
    client.expect_exit(0)
    stale = lab.datagrams("a server with stale replies")
    client = take_client(lab, stale.port, "-w", "3600")
    port = introduced(stale)
    client.type("take 3\n")
    next_request(stale, b"take 77 5 1 3", b"", "not_repeated")
    for _ in range(8):
        stale.send(b"tickets 77 5 9 9 3", to=port)
    client.expect_match("take 77 5 1 3, try 6: no reply", stream="stderr", cause="not_repeated")
    waits = [int(wait) for wait in re.findall(r"take 77 .* in (\d+) ms$", client.stderr.text, re.M)]
    expect(
        all(after <= 3 * before + 2 for before, after in zip(waits, waits[1:])),
        "no wait is more than three times as long as the one before",
        otherwise=", ".join(map(str, waits)) + " ms",
        cause="stale_doubles",
    )
    stale.send(b"tickets 77 5 1 1 3", to=port)
    client.expect_text("Input: Output: tickets 1 to 3\n")
    client.end_input()
    client.expect_exit(0)
    # Keeps the client from getting this port itself.
    neighbour = Datagrams("a neighbour", None, None, "127.0.0.2")
    begin = time.monotonic()
    client = take_client(lab, neighbour.port, "-w", "3600")
    told = r"try (\d+): no reply in (\d+) ms$"
    client.expect_match(r"^take_client: hello \d+, try 3: ", stream="stderr", cause="refusal_ends_the_wait")
    elapsed = 1000 * (time.monotonic() - begin)
    waits = [int(wait) for number, wait in re.findall(told, client.stderr.text, re.M) if int(number) <= 3]
    expect(
        elapsed >= max(sum(waits) - len(waits), 100 + 200 + 200),
        f"a refusal does not shorten its waits of {', '.join(map(str, waits))} ms",
        otherwise=f"all were over after {elapsed:.0f} ms",
        cause="other_timeout" if sum(waits) < 100 + 200 + 200 - len(waits) else "refusal_ends_the_wait",
    )
    late = Datagrams("a server that comes late", None, None, bound=neighbour.port)
    port = introduced(late)
    client.type("take 3\n")
    next_request(late, b"take 77 5 1 3", b"", "not_repeated")
    late.send(b"tickets 77 5 1 1 3", to=port)
    client.expect_text("Input: Output: tickets 1 to 3\n", cause="refusal_ends_the_wait")
    client.end_input()
    client.expect_exit(0)


@check(points=2, read="restart", causes=TAKE)
def test_the_take_client_tells_that_its_request_is_in_doubt(lab: Lab) -> None:
    """After a restart, or when the server has forgotten it, the client cannot know whether it was served."""
    for word in ("restarted", "forgotten"):
        server = lab.datagrams("the server")
        client = take_client(lab, server.port, "-w", "3600")
        port = introduced(server)
        client.type("take 3\n")
        next_request(server, b"take 77 5 1 3", b"", "not_repeated")
        server.send(f"{word} 77 5 1".encode(), to=port)
        client.expect_exit(1, cause="doubt_not_told")
        client.expect_match(f"^take_client: {word} 77 5 1: ", stream="stderr", cause="doubt_not_told")
    idle = take_client(lab, (other := lab.datagrams("another server")).port, "-w", "1")
    introduced(other)
    server = lab.datagrams("the server")
    limit = 1.5
    client = take_client(lab, server.port, "-w", str(limit))
    port = introduced(server)
    begin = time.monotonic()
    client.type("take 3\n")
    next_request(server, b"take 77 5 1 3", b"", "not_repeated")

    def given_up() -> bool:
        server.send(b"tickets 77 5 9 1 3", to=port)
        return client.status() is not None

    what = "it gives up, although replies to another request come"
    wait_until(given_up, what, cause="patience_starts_anew")
    client.expect_exit(1, cause="patience_starts_anew")
    expect_past(begin + limit, f"it has asked for {limit} s", cause="patience_cut")
    idle.type("take 3\n")  # more than a second after it has started
    next_request(other, b"take 77 5 1 3", b"", "patience_for_all")


@check(points=2, read="how-long-to-wait", causes=TAKE)
def test_the_time_out_follows_the_round_trips(lab: Lab) -> None:
    """RFC 6298: the smoothed round trip and four times its variation, doubled for each loss, within
    bounds."""
    words = "lost 20 40 30 30 30 30 lost lost lost 20" + 60 * " 50" + 40 * " 0.05" + " 5000 lost 20"
    drawn = [f"{lab.secret.uniform(0.1, 60):.2f}" for _ in range(20)]
    words += " " + " ".join("lost" if lab.secret.random() < 0.2 else word for word in drawn)
    run = lab.run("timeouts", input=words.encode()).expect_status(0)
    found = re.findall(r"^(\S+): time-out (\S+) ms, with jitter (\S+) ms$", run.stdout.decode(), re.MULTILINE)
    expect([word for word, _, _ in found] == words.split(), "each word has its line")
    smoothed: float | None = None
    variation, timeout = 0.0, 100.0
    for number, (word, told, _) in enumerate(found, start=1):
        if word == "lost":
            timeout = min(2 * timeout, 200.0)
        else:
            trip = float(word)
            variation = trip / 2 if smoothed is None else 0.75 * variation + 0.25 * abs(smoothed - trip)
            smoothed = trip if smoothed is None else 0.875 * smoothed + 0.125 * trip
            timeout = min(max(smoothed + max(1.0, 4 * variation), 10.0), 200.0)
        expect(
            abs(float(told) - timeout) < 0.11,
            f"after word {number}, {word}, it is {timeout:.1f} ms",
            otherwise=f"{told} ms",
            cause="other_timeout",
        )
    factors = [float(jittered) / float(told) for _, told, jittered in found]
    expect(
        all(0.98 <= factor <= 1.52 for factor in factors),
        "jitter adds up to half of it",
        cause="no_jitter",
        otherwise=", ".join(f"{factor:.2f}" for factor in factors),
    )
    expect(
        max(factors) - min(factors) > 0.1,
        "jitter is not always the same",
        cause="no_jitter",
        otherwise=", ".join(f"{factor:.2f}" for factor in factors),
    )


@check(points=1, read="how-long-to-wait", causes=TAKE)
def test_a_repeated_request_measures_no_round_trip(lab: Lab) -> None:
    """Karn's algorithm: the reply to a request that was sent twice may belong to either try."""
    server = lab.datagrams("the server")
    for _ in range(5):
        take_client(lab, server.port, "-w", "3600")
    hellos: dict[int, bytes] = {}
    with step("five clients start together, and say hello", quiet=True):
        while len(hellos) < 5:
            hello, port = server.take("a hello", cause="no_hello")
            hellos[port] = hello
    expect(
        len(set(hellos.values())) > 2,
        "they do not have the same nonce",
        otherwise=", ".join(map(show, hellos.values())),
        cause="same_nonce",
    )
    server = lab.datagrams("the server")
    client = take_client(lab, server.port, "-w", "3600")
    server.take("a hello, which gets no reply", cause="no_hello")
    introduced(server)
    client.type("take 3\n")
    told = client.expect_match(
        r"take 77 5 1 3, try 1: no reply in (\d+) ms$", stream="stderr", cause="not_repeated"
    )
    expect(
        int(told[1]) >= 200,
        "the next wait is 200 ms or more, as it would have been after one more loss",
        cause="trips_start_anew" if int(told[1]) >= 100 else "repeat_measured",
        otherwise=f"{told[1]} ms",
    )
    times = [next_request(server, b"take 77 5 1 3", b"", "not_repeated") for _ in range(4)]
    expect(
        times[1] - times[0] >= 0.198,
        "and it asks again after as long",
        cause="repeat_measured",
        otherwise=f"after {1000 * (times[1] - times[0]):.1f} ms",
    )
    waits = re.findall(r", try \d+: no reply in (\d+) ms$", client.stderr.text, re.MULTILINE)
    expect(
        not set(waits) <= {"100", "200"},
        "the waits that it tells have jitter",
        cause="other_wait_told",
        otherwise=", ".join(waits) + " ms",
    )


@check(points=2, read="exactly-once", causes=TAKE, slow=True)
def test_ten_thousand_tickets_cross_a_bad_network_once_each(lab: Lab) -> None:
    """Three of ten datagrams are lost each way, some come twice or late: no number twice, and none left
    out."""
    server = take_server(lab)
    total, clients, requests = 10_000, 50, 12
    ends = sorted(lab.random.sample(range(1, total), clients * requests - 1))
    counts = [end - begin for begin, end in zip([0, *ends], [*ends, total])]
    counts = [part for count in counts for part in ([count] if count <= 1000 else [1000, count - 1000])]
    programs = []
    for seed in range(clients):
        relay = relay_to(lab, server, "-s", str(seed), "--drop", "30", "--repeat", "20", "--reorder", "20")
        client = take_client(lab, relay.port, "-w", "3600")
        client.type("".join(f"take {count}\n" for count in counts[seed::clients]))
        client.end_input()
        programs.append(client)
    with step(f"{clients} clients take {total} tickets", quiet=True):
        for client in programs:
            while client.status() is None:
                seen = client.stdout.total
                wait_until(
                    lambda: client.status() is not None or client.stdout.total > seen,
                    "it has its next tickets, or ends",
                    cause="not_repeated",
                )
            client.expect_exit(0)
    ranges = [
        (int(first), int(last))
        for client in programs
        for first, last in re.findall(r"tickets (\d+) to (\d+)$", client.stdout.text, re.MULTILINE)
    ]
    taken = sorted(ticket for first, last in ranges for ticket in range(first, min(last, first + 999) + 1))
    twice = len(taken) - len(set(taken))
    expect(twice == 0, "no ticket was handed out twice", cause="served_twice", otherwise=f"{twice} were")
    expect(
        taken == list(range(1, total + 1)),
        f"they are 1 to {total}, and none is left out",
        otherwise=f"{len(taken)} of them, up to {max(taken, default=0)}",
        cause="served_twice",
    )


@check(points=0, read="broadcast", causes=BROADCAST)
def test_a_broadcast_is_refused_without_the_option_and_heard_by_all_with_it(lab: Lab) -> None:
    """The kernel sends a broadcast only if the socket has asked for it: it might be a mistake."""
    result = lab.run("broadcast", "-p", "0", "-n", "5").expect_status(0, cause="not_asked_for")
    result.expect_match("^without SO_BROADCAST: sendto: Permission denied$")
    result.expect_match("^with SO_BROADCAST: sendto: sent$")
    for number in range(1, 6):
        result.expect_match(rf"^listener {number} heard 'hello, all' from 127\.0\.0\.1:\d+$")


@check(points=0, read="raw")
def test_ping_works_or_names_the_missing_capability(lab: Lab) -> None:
    """A raw socket needs a capability. A program without it should print its name."""
    ping = lab.run("raw_ping", "127.0.0.1")
    if ping.status == 1:
        ping.expect_match("CAP_NET_RAW.*ping_group_range", stream="stderr")
        return
    ping.expect_status(0)
    raw = ping.expect_match("^SOCK_(RAW|DGRAM): ").group(1) == "RAW"
    for number in (1, 2, 3):
        before = rf"request {number} comes by after \S+ ms\n" if raw else ""
        ping.expect_match(rf"^{before}reply {number} after \S+ ms$")
