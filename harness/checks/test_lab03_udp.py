"""What is true of lab03: datagrams, which may be cut, lost, repeated and overtaken."""

from __future__ import annotations

import re
import time

from labkit import Lab, Server, check, expect, step, wait_until
from labkit.client import Datagrams
from labkit.program import Program
from labkit.steps import difference

SENDER = {
    "reply_to_another": "The reply went to another client than the one that asked: recvfrom says who sent "
    "this datagram.",
    "server_connected": "The server's socket was connected, and takes datagrams from that one client alone.",
    "whole_buffer_sent": "More was sent than had come: a datagram's length is what recvfrom returned, not "
    "the buffer's.",
}
GOODBYE = {
    "empty_ends_server": "An empty datagram was taken for the end of everything. It is one datagram, from "
    "one client.",
    "goodbye_answered": "An empty datagram was answered; it is a goodbye, and its sender is gone.",
}
TRUNCATED = {
    "truncation_unnoticed": "The end of a long datagram was lost, and nobody said so: recvfrom tells only if "
    "it is given MSG_TRUNC.",
}
PORT = {
    "port_stolen": "Two servers on one port: with SO_REUSEADDR a UDP socket lets another take the port, and "
    "the datagrams.",
}
CLIENT = {
    "no_goodbye": "The client left without a word: UDP has no end of file, so that the server cannot know.",
    "anybody_believed": "A datagram from somebody else was taken for the server's reply: connect the socket, "
    "or look at the sender.",
    "waits_for_ever": "recv waits for a reply that will never come: give it a limit (SO_RCVTIMEO).",
    "refusal_unnoticed": "Nobody has that port, and the kernel said so (ECONNREFUSED, on a connected "
    "socket): the client has to.",
}
BROADCAST = {
    "not_asked_for": "Without SO_BROADCAST, set on the sender's socket, the kernel sends no broadcast: "
    "EACCES.",
}
RETRY = {
    "never_asks_again": "The request or its reply was lost, and the client did not ask again.",
    "no_reply_taken": "The client asked 40 times, and took none of the replies for the answer: the number is "
    "the same.",
    "late_reply_taken": "A reply to an earlier request was taken for the answer to this one: compare the "
    "numbers.",
    "repeat_is_a_try": "A repeated reply used up a try: a datagram that is not the answer must not end the "
    "wait.",
    "wait_restarted": "Each wrong datagram made the client wait anew: the wait has a deadline, whatever "
    "comes before.",
    "asks_for_ever": "The client never gives up: after 40 tries without a reply it should say so and end.",
    "waits_do_not_grow": "The waits should be 10, 20, 40, 80, 160, then 200 ms: whoever asks a busy server "
    "at a fixed pace makes it busier.",
}


def udp_server(lab: Lab, *arguments: str) -> Server:
    return lab.server("udp_upper_server", *arguments, datagrams=True)


def relay_to(lab: Lab, server: Server | Datagrams, *arguments: str) -> Server:
    return lab.server("lossy_relay", *arguments, "127.0.0.1", str(server.port), datagrams=True)


def udp_client(lab: Lab, name: str, port: int, *arguments: str) -> Program:
    return lab.start(name, "-p", str(port), *arguments, "127.0.0.1", stdin=True)


@check(points=7, read="datagrams", causes=SENDER)
def test_each_datagram_is_answered_to_its_sender(lab: Lab) -> None:
    """One socket serves everybody: only the sender's address, which comes with each datagram, tells who gets
    the reply."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    ann.send(b"hello, ann 1")
    ann.expect(b"HELLO, ANN 1", cause={"bytes": "whole_buffer_sent"})
    bob.send(b"bob")
    bob.expect(b"BOB", cause=lambda: "reply_to_another" if ann.waiting() else "server_connected")
    every = bytes(range(256))
    ann.send(every)
    ann.expect(every.upper())


@check(points=4, read="datagrams", causes=SENDER)
def test_datagrams_that_wait_together_are_answered_one_by_one(lab: Lab) -> None:
    """A datagram is a message: it comes whole, and never together with the next. TCP keeps no such
    boundaries."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    with server.paused():
        for text in (b"one", b"two", b"x" * 1000):
            ann.send(text)
        bob.send(b"me too")
    for text in (b"ONE", b"TWO", b"X" * 1000):
        ann.expect(text)
    bob.expect(b"ME TOO")


@check(points=6, read="goodbye", causes=GOODBYE)
def test_an_empty_datagram_is_one_goodbye_and_ends_nobody_else(lab: Lab) -> None:
    """There is no end of file in UDP. An empty datagram may say goodbye; a server that stops for it, anybody
    can stop."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    bob = lab.datagrams("bob", server, server.port)
    ann.send(b"")
    bob.send(b"still there?")
    wait_until(lambda: bob.waiting() or server.status() is not None, "bob is answered, or the server ends")
    expect(server.status() is None, "the server goes on", otherwise="it has ended", cause="empty_ends_server")
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


@check(points=6, read="truncated", causes=TRUNCATED)
def test_a_datagram_over_1024_bytes_is_cut_and_the_log_says_so(lab: Lab) -> None:
    """What does not fit into the buffer is thrown away, silently, unless recvfrom is asked for the true
    length."""
    server = udp_server(lab)
    ann = lab.datagrams("ann", server, server.port)
    ann.send(b"a" * 1024)
    ann.expect(b"A" * 1024)
    ann.send(b"b" * 3000)
    ann.expect(b"B" * 1024)
    ann.send(b"c")
    ann.expect(b"C")
    server.expect_match(f"^truncated 127.0.0.1:{ann.port}: 1024 of 3000 bytes$", cause="truncation_unnoticed")
    expect(server.stdout.text.count("truncated") == 1, "the datagram of 1024 bytes was not called truncated")


@check(points=3, read="datagrams", causes=SENDER)
def test_a_client_that_does_not_wait_for_its_reply_disturbs_no_other(lab: Lab) -> None:
    """The answer to nobody is refused by the client's kernel; the server's socket, which has no peer, does
    not mind."""
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


@check(points=4, read="datagrams", causes=PORT)
def test_a_second_server_cannot_take_the_port(lab: Lab) -> None:
    """On a TCP listener SO_REUSEADDR is good manners; on a UDP socket it lets a stranger in."""
    server = udp_server(lab)
    second = lab.start("udp_upper_server", "-p", str(server.port))
    second.expect_exit(1, cause="port_stolen")
    second.expect_match("^udp_upper_server: bind: Address already in use$", stream="stderr")
    server.stop()


@check(points=2, read="datagrams")
def test_the_udp_server_speaks_ipv6_and_ends_when_told(lab: Lab) -> None:
    """The address family is in the address: nothing else of the program depends on it."""
    server = udp_server(lab, "-a", "::1")
    ann = Datagrams("ann", server, server.port, "::1")
    ann.send(b"six")
    ann.expect(b"SIX")
    server.stop()


@check(points=6, read="goodbye", causes=CLIENT)
def test_the_client_prints_each_reply_and_says_goodbye(lab: Lab) -> None:
    """The client asks, prints the reply, and leaves with an empty datagram, the only goodbye there is."""
    server = lab.datagrams("the server")
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    for line in ("hello", "x" * 1000):
        client.type(line + "\n")
        port = server.expect(line.encode())
        server.send(line.upper().encode(), to=port)
        client.expect_text(f"Input: Output: {line.upper()}\n")
    client.type("\n")
    server.expect(b"", cause="no_goodbye")
    client.expect_exit(0)


@check(points=5, read="connected", causes=CLIENT)
def test_the_client_believes_its_server_alone(lab: Lab) -> None:
    """Anybody may send a datagram to a client's port. connect, which sends nothing, makes the kernel sort
    them out."""
    server = lab.datagrams("the server")
    stranger = lab.datagrams("a stranger")
    client = udp_client(lab, "udp_upper_client", server.port, "-w", "3600")
    client.type("true\n")
    port = server.expect(b"true")
    stranger.send(b"FALSE", to=port)
    server.send(b"TRUE", to=port)
    client.expect_text("Input: Output: TRUE\n", cause="anybody_believed")


@check(points=5, read="lost", causes=CLIENT)
def test_a_reply_that_never_comes_ends_the_wait(lab: Lab) -> None:
    """Nobody promises a reply: whoever waits for one without a limit waits for ever."""
    silent = lab.datagrams("a silent server")
    client = udp_client(lab, "udp_upper_client", silent.port, "-w", "0.2")
    client.type("hello\n")
    silent.expect(b"hello")
    client.expect_exit(1, cause="waits_for_ever")
    client.expect_match("^udp_upper_client: recv: ", stream="stderr")


@check(points=5, read="refused", causes=CLIENT)
def test_a_refused_port_is_reported(lab: Lab) -> None:
    """Where nobody has the port, the kernel there says so by ICMP, and on a connected socket it becomes an
    error."""
    neighbour = Datagrams(
        "a neighbour", None, None, "127.0.0.2"
    )  # keeps the client from getting this port itself
    client = udp_client(lab, "udp_upper_client", neighbour.port, "-w", "3600")
    client.type("hello\n")
    client.expect_exit(1, cause="refusal_unnoticed")
    client.expect_match("^udp_upper_client: .*Connection refused$", stream="stderr")


@check(points=3, read="lost")
def test_the_relay_does_what_its_script_says(lab: Lab) -> None:
    """The relay makes a bad network on demand: every fault that the next checks speak of comes from it."""
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


@check(points=2, read="lost")
def test_the_relay_repeats_its_luck_for_a_seed(lab: Lab) -> None:
    """A fault that cannot be had again cannot be looked into: the same seed makes the same faults."""

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


def expect_answers(client: Program, lines: list[str], gave_up: str = "no_reply_taken") -> None:
    """Waits until the client has ended, however long that takes as long as it goes on; every answer has to be
    right."""

    def lost() -> str:
        return gave_up if "try 40: " in client.stderr.text else "never_asks_again"

    with step("the client asks until it has all answers", quiet=True):
        while client.status() is None:
            seen = client.stdout.total + client.stderr.total
            wait_until(
                lambda: client.status() is not None or client.stdout.total + client.stderr.total > seen,
                "it goes on, or ends",
                cause=lost,
            )
    client.expect_exit(0, cause=lost)
    answers = "".join(f"Input: Output: {line.upper()}\n" for line in lines) + "Input: "
    got = bytes(client.stdout.data)
    expect(
        got == answers.encode(), f"the {len(lines)} answers are right, and in this order",
        otherwise="other output", cause="late_reply_taken", details=difference(answers.encode(), got),
    )  # fmt: skip


@check(points=7, read="late", causes=RETRY)
def test_a_late_reply_is_not_taken_for_the_next_ones(lab: Lab) -> None:
    """A reply that comes late lies in the socket when the next request is sent: only its number says whose it
    is."""
    server = udp_server(lab)
    lines = ["one", "two", "three", "four"]
    for script in ("/1", "/2", "/3", "/2.2.2.2", "1/1"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, lines), lines)


@check(points=5, read="retry", causes=RETRY)
def test_a_lost_request_or_reply_is_asked_for_again(lab: Lab) -> None:
    """The two losses look the same to the client, and have the same cure."""
    server = udp_server(lab)
    for script in ("x/", "/x", ".x.x/x.x"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, ["one", "two"]), ["one", "two"])


@check(points=6, read="retry", causes=RETRY)
def test_a_repeated_request_or_reply_changes_nothing(lab: Lab) -> None:
    """Repeats pile up in the socket; none of them may be an answer, or count as a try."""
    server = udp_server(lab)
    lines = [f"line {number}" for number in range(60)]
    for script in ("/" + 400 * "=", 400 * "=" + "/"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, lines), lines, gave_up="repeat_is_a_try")


@check(points=5, read="retry", causes=RETRY)
def test_the_client_gives_up_after_forty_tries_and_growing_waits(lab: Lab) -> None:
    """Asking for ever, or always at once, is how clients bring down a server that is only slow."""
    silent = lab.datagrams("a silent server")
    client = udp_client(lab, "udp_upper_client_retry", silent.port)
    client.type("hello\n")
    with step("the request comes seven times", quiet=True):
        for _ in range(7):
            silent.expect(b"1 hello", cause="never_asks_again")
    client.expect_match("request 1, try 6: .* ms$", stream="stderr")
    waits = re.findall(r"no reply in (\d+) ms$", client.stderr.text, re.MULTILINE)[:6]
    expect(
        waits == ["10", "20", "40", "80", "160", "200"],
        "it waited 10, 20, 40, 80, 160 and 200 ms",
        otherwise=f"{', '.join(waits)} ms",
        cause="waits_do_not_grow",
    )
    with step("the request comes 33 times more", quiet=True):
        for _ in range(33):
            silent.expect(b"1 hello")
    client.expect_exit(1, cause="asks_for_ever")
    client.expect_match("^udp_upper_client_retry: no reply", stream="stderr")
    expect(
        not silent.waiting(),
        "it has asked 40 times, and not more",
        otherwise="one more request came",
        cause="asks_for_ever",
    )


@check(points=4, read="retry", causes=RETRY)
def test_ten_losses_in_a_row_are_survived(lab: Lab) -> None:
    """A network may be silent for a while: the tries go on long enough."""
    server = udp_server(lab)
    for script in ("xxxxxxxxxx/", "/xxxxxxxxxx"):
        relay = relay_to(lab, server, "--script", script)
        expect_answers(ask(lab, relay, ["hello"]), ["hello"])


@check(points=4, read="retry", causes=RETRY, hidden=True)
def test_wrong_datagrams_do_not_make_the_client_wait_longer(lab: Lab) -> None:
    """If each late reply starts the wait anew, a stream of them keeps the client from ever asking again."""
    server = lab.datagrams("the server")
    client = udp_client(lab, "udp_upper_client_retry", server.port)
    client.type("hello\n")
    with step("six requests get no reply", quiet=True):
        for _ in range(6):
            _, port = server.take("the request", cause="never_asks_again")

    asked = True
    while asked:
        client.expect_at_rest()
        with client.paused():
            if asked := server.waiting():  # just before it was stopped: perhaps this wait has not begun
                server.expect(b"1 hello")
                continue
            server.send(b"17 LATE", to=port)
            server.send(b"1 HELLO", to=port)
            end = time.monotonic() + 0.2
            wait_until(lambda: time.monotonic() > end, "its wait of 200 ms is over")
    client.expect_text("Input: Output: HELLO\n", cause="late_reply_taken")
    with step("it has asked again before it took the second reply"):
        server.expect(b"1 hello", cause="wait_restarted")


@check(points=5, read="retry", causes=RETRY)
def test_a_thousand_answers_are_right_on_a_bad_network(lab: Lab) -> None:
    """Three of ten datagrams are lost each way, some come twice, some too late: still every answer is
    right."""
    server = udp_server(lab)
    faults = ("--drop", "30", "--repeat", "20", "--reorder", "20")
    conversations = []
    for seed in range(10):
        relay = relay_to(lab, server, "-s", str(seed), *faults)
        lines = [f"client {seed}, line {number}: {lab.random.random()}" for number in range(100)]
        conversations.append((ask(lab, relay, lines), lines))
    for client, lines in conversations:
        expect_answers(client, lines)


@check(points=3, read="broadcast", causes=BROADCAST)
def test_a_broadcast_is_refused_without_the_option_and_heard_by_all_with_it(lab: Lab) -> None:
    """A datagram for everybody is easily sent by mistake, so that the kernel wants to be told that it is
    meant."""
    result = lab.run("broadcast", "-p", "0", "-n", "5").expect_status(0, cause="not_asked_for")
    result.expect_match("^without SO_BROADCAST: sendto: Permission denied$")
    result.expect_match("^with SO_BROADCAST: sendto: sent$")
    for number in range(1, 6):
        result.expect_match(rf"^listener {number} heard 'hello, all' from 127\.0\.0\.1:\d+$")


@check(points=3, read="raw")
def test_ping_works_or_names_the_missing_capability(lab: Lab) -> None:
    """A raw socket is a right, not a matter of course: whoever has not got it should be told its name."""
    ping = lab.run("raw_ping", "127.0.0.1")
    if ping.status == 1:
        ping.expect_match("CAP_NET_RAW.*ping_group_range", stream="stderr")
        return
    ping.expect_status(0)
    raw = ping.expect_match("^SOCK_(RAW|DGRAM): ").group(1) == "RAW"
    for number in (1, 2, 3):
        before = rf"request {number} comes by after \S+ ms\n" if raw else ""
        ping.expect_match(rf"^{before}reply {number} after \S+ ms$")
