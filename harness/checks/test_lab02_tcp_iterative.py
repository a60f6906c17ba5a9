"""What is true of lab02: one client after the other, over TCP."""

import contextlib
import itertools
import re
import signal
import socket
import time
from ast import literal_eval
from collections.abc import Callable

from labkit import CouldNotTell, Lab, Run, Server, check, expect, kernel, secret_word, shortage, show, step
from labkit import moments, wait_until
from labkit.client import Peer
from labkit.default_ports import connects_by_default, listens_by_default
from labkit.services import DATE, DATED, dated_anew
from labkit.short_sends import send_ends_early
from labkit.steps import Cause
from labkit.supervised import serves_without_standard_streams
from labkit.surroundings import has_ipv6
from labkit.upper import Upper
from labkit.waiting import deadline, poll

MAX_LINE = 65536

ONE_SEND = {
    "short_send_ignored": "send took fewer bytes than it was given, and the rest was forgotten: repeat it "
    "until all are sent.",
    "too_much_sent": "More bytes were sent than had been received: the buffer is larger than what is in it.",
    "sent_again": "send was called again, but not with the bytes that were left: some bytes were sent "
    "twice, or wrong bytes were sent.",
}
CLIENTS = {
    "empty_recv_misread": "recv returned 0, the client's end of file, and the server went on asking.",
    "bytes_kept": "The memory grows with the bytes that a client has sent, although they were answered.",
    "descriptor_left_open": "The connection of a client that has gone was not closed.",
    "spins_while_blocked": "While a client does not read, the server sends again and again. A blocking send "
    "waits.",
    "sigpipe": "A send to a client that had gone raised SIGPIPE, which ends a process that does not prepare "
    "for it "
    "(MSG_NOSIGNAL).",
    "kept_for_the_next": "Something of a client that has gone was kept for the next one: what a server keeps "
    "of a client ends with its connection.",
}
ADDRESSES = {
    "no_reuseaddr": "The port of an old connection stays taken for a minute: SO_REUSEADDR, before bind.",
    "leaves_no_time_wait": "The server closed first, but its old connection is not in TIME_WAIT: TCP_LINGER2 "
    "or a reset has removed it.",
    "name_refused": "ADDRESS may be a name, too: getaddrinfo finds what it stands for.",
    "exits_wrongly": "A failed call is reported on stderr as `program: call: reason`, and the exit status "
    "is 1.",
}
BYTES = {
    "ends_at_zero": "A zero byte was taken for the end of the text: it is a byte of the line like any other.",
    "text_only": "Bytes are not text: 0 ends no message, and a byte above 127 is no ASCII letter.",
    "line_changed": "The line was not sent as it was typed: only the newline is left out, a CR is a byte of "
    "the line.",
    "blanks_end_it": "A line of blanks ended the client: only an empty line does.",
    "newline_sent": "The newline ends the input, and is not part of the line: it is not sent.",
    "deadlock": "Both sides send, and neither reads: as soon as the buffers between them are full, both "
    "wait for ever.",
    "refusal_unseen": "The connection was refused, and taken for made: look at what connect returned (after "
    "a wait for it, at SO_ERROR).",
    "prompt_held_back": "The prompt was not written before the program waited for a line: a user waits for "
    "it. Flush it.",
    "part_taken_for_all": "The server closed before the reply was whole, and the part of it was taken for "
    "a reply.",
    "first_address_only": "A name may stand for several addresses, and the server listens at one of them: "
    "only the "
    "first was tried.",
    "one_family_only": "A name may have addresses of IPv4 and of IPv6, and only those of one family were "
    "tried.",
    "stops_at_a_failure": "An address may fail in any call and for any reason (no route, a kernel without "
    "IPv6): go on to the next address, with a new socket of its family.",
    "one_recv": "One recv was taken for the whole reply. It returns what is there, at least one byte.",
}
LINES = {
    "recv_taken_for_line": "What one recv returned was taken for one line. TCP cuts the stream anywhere: "
    "keep what has "
    "come until a newline is there.",
    "rest_lost": "Several lines came in one piece, and only the first was served; or what followed it was "
    "forgotten.",
    "half_line_served": "Half a line, without its newline, was served at the end of the connection.",
    "limit_wrong": "A line may have 65 536 bytes before its newline, and not one more.",
    "lines_kept": "The lines that were answered stay in the memory: throw away what was taken off the "
    "buffer.",
    "unbounded_line": "A line without an end was kept in memory without a limit: refuse it at 65 536 bytes.",
    "lingers_for_ever": "A client that goes on sending after its refusal keeps the server busy: the two "
    "seconds are for everything that it sends, and not for each piece.",
    "reset_too_early": "The connection was closed while there were unread bytes: this sends a reset, and "
    "the last reply is lost. Say that no more will come (shutdown), read the rest, then close.",
    "register_per_client": "The register began with 0 again: it belongs to the server, not to one client.",
}
CONNECTING = {
    name: BYTES[name]
    for name in ("first_address_only", "one_family_only", "stops_at_a_failure", "refusal_unseen")
}
FRAMES = {
    "nothing_found": "No message was found, although some are all there.",
    "too_early": "A message was returned before its last byte had come.",
    "only_one": "One piece may hold the end of one message and the whole of the next.",
    "empty_lost": "An empty message is a message: two separators in a row have one between them, and the "
    "length 0 is a whole one.",
    "ends_at_zero": BYTES["ends_at_zero"],
    "separator_kept": "The separator is no part of the message.",
    "prefix_in_one_piece": "The two bytes of the length may come in two pieces.",
    "prefix_lost": "The length was taken off the stream before the whole message was there: the next call "
    "takes its first bytes for a length.",
    "signed_prefix": "A length byte above 127 was taken for a negative number.",
    "largest_length": "The largest length is 65 535: with its prefix this is more than 16 bits hold.",
}
NAMES = {
    "an_address_is_missing": "getaddrinfo returns a list: go on from each entry to its ai_next.",
    "not_streams_only": "Without ai_socktype in the hints each address comes once for every type of socket.",
    "numbers_only": "SERVICE may be a name, http for example: getaddrinfo knows its number.",
    "not_bound": "Try each address: make a socket of its family, bind it, and keep the first that bind "
    "accepts.",
    "not_the_reason": "If no address can be bound, that is the reason, and not the failure of one of them.",
    "an_error_is_ignored": "getaddrinfo returns an error number, not -1, and leaves no list: gai_strerror "
    "has the reason.",
}
AS_PRINTED = {
    "not_broken_any_more": "cas_server is wrong on purpose: each recv one line, `\\n\\r` behind each reply.",
}


def asleep_in_recv(server: Server, peer: Peer) -> None:
    """Waits until the server has accepted the peer, has read all that it has sent, and sleeps again."""
    peer.expect_accepted()
    peer.expect_read()


def why_open(server: Server, peer: Peer) -> Callable[[], str | None]:
    """The likely cause of a connection that is still open, although its client sends no more."""

    def why() -> str | None:
        lines = server.stdout.text.splitlines()
        if any(one.startswith("disconnected ") and one.endswith(f":{peer.local_port}") for one in lines):
            return "descriptor_left_open"
        return "empty_recv_misread" if not peer.unread() and kernel.cpu_share(server.pid) > 0.25 else None

    return why


def one_client_less(server: Server, count: int, cause: Cause = None) -> None:
    """Waits until the log says that so many clients have gone, or the server has itself."""
    wait_until(
        lambda: server.stdout.text.count("disconnected ") == count or server.status() is not None,
        f"the log counts {count} clients gone",
        cause=cause,
    )
    server.expect_alive()


def cut_or_repeated(peer: Peer, wanted: bytes) -> Callable[[], str | None]:
    """The likely cause if other bytes than these came: fewer of them, or wrong ones. None if nothing came."""

    def why() -> str | None:
        got = peer.unread()
        return ("short_send_ignored" if wanted.startswith(got) else "sent_again") if got else None

    return why


def rude_clients(server: Server, talk: Callable[[Peer], None], request: bytes) -> None:
    """Clients that end in every way there is; after each the next client is served as if nothing had
    happened.
    """
    gone = itertools.count(1)
    before = server.descriptors()

    def why() -> str | None:
        """The likely cause of a reset that the log does not tell."""
        left = server.status() is None and len(server.descriptors()) > len(before)
        return None if left else "other_log"

    def next_client() -> None:
        peer = server.connect("the next client")
        talk(peer)
        peer.close()
        one_client_less(server, next(gone))
        wait_until(
            lambda: len(server.descriptors()) == len(before),
            "the server has as many descriptors as at first",
            cause="descriptor_left_open",
            instead=lambda: f"{len(server.descriptors())} instead of {len(before)}",
        )

    with step("a client comes and goes without a word"):
        ann = server.connect("ann")
        ann.close()
        one_client_less(server, next(gone), cause=why_open(server, ann))
    next_client()
    with step("a client resets the connection before it is accepted"):
        with server.paused():
            server.connect("bob").reset()
    one_client_less(server, next(gone), why)
    next_client()
    with step("a client resets the connection while the server waits for it"):
        cat = server.connect("cat")
        asleep_in_recv(server, cat)
        cat.reset()
    one_client_less(server, next(gone), why)
    next_client()
    with step("a client sends requests, reads no reply and hangs up: a reset, too"):
        dan = server.connect("dan")
        talk(dan)
        with server.paused():
            dan.send(request)
            dan.reset()
    one_client_less(server, next(gone))
    next_client()
    with step("a client sends much and hangs up at once: the first reply is one too many"):
        with server.paused():
            gus = server.connect("gus")
            gus.send(request * (50_000 // len(request)))
            gus.close()
    one_client_less(server, next(gone))
    next_client()
    with step("a client hangs up with replies unread"):
        eve = server.connect("eve")
        eve.send_unread(request)
        asleep_in_recv(server, eve)
        wait_until(eve.has_arrived, "a reply waits to be read")
        with server.paused():
            eve.send_unread(request)
            eve.close()
    one_client_less(server, next(gone))
    next_client()
    with step("a client sends, says that it will send no more, and reads to the end"):
        fay = server.connect("fay")
        talk(fay)
        fay.half_close()
        fay.expect_eof(cause=why_open(server, fay))
    one_client_less(server, next(gone))
    next_client()


def a_client_that_never_reads(server: Server, request: bytes) -> None:
    """The server blocks in send; when the client goes, so does the server's wait."""
    ann = server.connect("ann", receive_buffer=4096)
    ann.send_unread(request * (20_000_000 // len(request)))
    bob = server.connect("bob")
    bob.send(request)
    bob.expect_waiting()
    server.expect_serves_itself(ann)
    server.expect_idle(cause="spins_while_blocked")
    server.expect_patient()
    ann.reset()
    bob.expect_accepted()
    bob.close()


def leaves_while_send_waits(server: Server, size: int, request: bytes = b"w") -> None:
    """A client says that it sends no more, and resets, while the server waits in send: that send has taken a
    part, and the next one finds the connection closed.
    """
    ann = server.connect("ann", receive_buffer=4096)

    def rests_with(unread: bool) -> bool:
        here = any(end.unread for end in ann.ends()[1])
        return (here if unread else not ann.on_the_way()) and kernel.at_rest(server.pid)

    with step("ann sends, and reads nothing, until the server waits in send", quiet=True):
        while not rests_with(unread=True):
            if ann.send_unread(request * size) < size:
                raise CouldNotTell("the server's end was full before its send waited")
            wait_until(lambda: rests_with(True) or rests_with(False), "it has read that, or waits in send")
    ann.half_close()
    wait_until(
        lambda: any(end.status == "FIN_WAIT2" for end in kernel.connection(ann.local, ann.remote)),
        "the server's kernel has it all",
    )
    ann.reset()
    bob = server.connect("bob")
    bob.expect_accepted()
    bob.close()


def a_crowd(server: Server, talk: Callable[[Peer], None]) -> None:
    """Two hundred clients wait at once; each is served in its turn."""
    crowd = server.connect_all(*(f"client {i}" for i in range(200)))
    crowd[-1].expect_waiting()
    with step("each in turn is served, and hangs up", quiet=True):
        for client in crowd:
            talk(client)
            client.close()


def expect_little_more(server: Server, before: int, limit: int, what: str, cause: str) -> None:
    """The server has less than `limit` bytes of memory more than before."""
    more = kernel.memory(server.pid) - before
    expect(more < limit, what, otherwise=f"it has {more} bytes more than before", cause=cause)


def a_hundred_megabytes(server: Server) -> bytes:
    """A client sends a hundred megabytes without a newline, and no more; returns all that it got."""
    before = kernel.memory(server.pid)
    ann = server.connect("ann")
    ann.send(b"x" * 100_000_000)
    server.expect_serves_itself(ann)
    expect_little_more(
        server, before, 50_000_000, "the server keeps nothing of what it has answered", "bytes_kept"
    )
    ann.half_close()
    return ann.read_to_eof()


def send_cut(lab: Lab, peer: Peer, data: bytes) -> None:
    """Sends the bytes in pieces of random sizes, each after the one before has been read."""
    server = peer.program
    assert isinstance(server, Server)
    with step(
        f"{peer.name} sends {len(data)} bytes in random pieces, each after the last was read", quiet=True
    ):
        while data:
            size = lab.random.randint(1, 9)
            peer.send(data[:size])
            asleep_in_recv(server, peer)
            data = data[size:]


# --- upper


@check(points=7, read="first-server", causes=ONE_SEND | CLIENTS)
def test_upper_server_answers_in_upper_case(lab: Lab) -> None:
    """The whole conversation: what goes in comes back in upper case, until the client's end of file."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    first, second = (secret_word() for _ in range(2))
    ann.send(b"hello, %b\n" % first)
    ann.expect(b"HELLO, %b\n" % first.upper())
    ann.send(b"second line without end: " + second)

    def of_before() -> str | None:
        rest = ann.unread()
        return "too_much_sent" if b"\0" in rest else "sent_again" if rest.startswith(b"HELLO") else None

    ann.expect(b"SECOND LINE WITHOUT END: " + second.upper(), cause=of_before)
    for _ in range(3):
        ann.send(b"at once")
        ann.expect_prompt()
        ann.expect(b"AT ONCE")
    ann.half_close()
    ann.expect_eof(cause=why_open(server, ann))


@check(points=5, read="short-send", causes=ONE_SEND)
def test_upper_server_sends_every_byte(lab: Lab) -> None:
    """send returns how many bytes it took; here it takes at most seven at a time, as it may."""
    server = lab.server("upper_server", faults={"send": 7})
    ann = server.connect("ann")
    ann.send(b"the quick brown fox jumps over the lazy dog\n")
    reply = b"THE QUICK BROWN FOX JUMPS OVER THE LAZY DOG\n"
    ann.expect(reply, cause=cut_or_repeated(ann, reply))
    server = lab.server("upper_server")
    for _ in range(3):
        sent, got = send_ends_early(server, lab.secret.randbytes(1 << 10).replace(b"\0", b"a") * (20 << 10))
        expect(
            got == sent.upper(),
            "all that it sent comes back in upper case",
            otherwise=f"{len(got)} bytes of {len(sent)}",
            cause="short_send_ignored" if len(got) < len(sent) else "sent_again",
        )


@check(points=4, read="bytes", causes=BYTES | ONE_SEND)
def test_upper_server_changes_ascii_letters_and_no_other_byte(lab: Lab) -> None:
    """All 256 bytes go through, in one piece and one by one: neither 0 nor a byte above 127 is anything
    special.
    """
    server = lab.server("upper_server")
    every = bytes(range(256))
    upper = bytes(byte - 32 if 97 <= byte <= 122 else byte for byte in every)
    ann = server.connect("ann")
    for text in (b"text", b"and more text"):  # what goes wrong here has another cause
        ann.send(text)
        ann.expect(text.upper())
    ann.send(every)
    ann.expect(upper, cause={"bytes": "text_only", "answer": "text_only"})
    with step("the same, byte by byte", quiet=True):
        for before, after in zip(every, upper, strict=True):
            ann.send(bytes([before]))
            ann.expect(bytes([after]), cause={"bytes": "text_only", "answer": "text_only"})


@check(points=3, read="one-client-at-a-time", after="upper_server_answers_in_upper_case")
def test_the_second_client_waits_while_the_first_is_served(lab: Lab) -> None:
    """An iterative server comes back to accept when it has finished with a client, and not before."""
    server = lab.server("upper_server")
    ann = server.connect("ann")
    ann.expect_accepted()
    bob = server.connect("bob")
    bob.send(b"me too")
    ann.send(b"first")
    ann.expect(b"FIRST")
    server.expect_logged("connected", ann)
    server.expect_at_rest()
    bob.expect_waiting()
    server.expect_serves_itself(ann)
    server.expect_asleep()
    server.expect_patient()
    ann.close()
    bob.expect(b"ME TOO")
    server.expect_logged("disconnected", ann)
    server.expect_logged("connected", bob)


@check(points=4, read="one-client-at-a-time", causes=CLIENTS, after="upper_server_answers_in_upper_case")
def test_two_hundred_clients_wait_and_all_are_served(lab: Lab) -> None:
    """Clients that wait in the backlog are served in the order of arrival. When all have gone, no descriptor
    of them is left."""
    server = lab.server("upper_server")
    before = server.descriptors()
    clients = server.connect_all(*(f"client {i}" for i in range(200)))
    with step("each in turn sends, is answered and hangs up", quiet=True):
        for number, client in enumerate(clients):
            client.send(f"client {number}\n".encode())
        for number, client in enumerate(clients):
            client.expect(f"CLIENT {number}\n".encode())
            client.half_close()
            client.expect_eof(cause=why_open(server, client))
    one_client_less(server, 200)
    server.expect_all_logged_gone()
    expect(
        server.descriptors() == before,
        "the server has the descriptors that it had at first",
        otherwise=f"{len(server.descriptors())} instead of {len(before)}",
        cause="descriptor_left_open",
    )
    server.stop()


@check(points=5, read="rude-clients", causes=CLIENTS, after="upper_server_answers_in_upper_case")
def test_no_client_ends_upper_server(lab: Lab) -> None:
    """A client may reset the connection, leave replies unread or say nothing: the server must go on
    serving."""
    server = lab.server("upper_server")

    def talk(peer: Peer) -> None:
        peer.send(b"ping\n")
        peer.expect(b"PING\n", cause={"bytes": "kept_for_the_next"})

    rude_clients(server, talk, b"ping\n")
    server.stop()


@check(
    points=3,
    read="rude-clients",
    causes=CLIENTS | ONE_SEND,
    hidden=True,
    after="upper_server_answers_in_upper_case",
)
def test_a_client_that_never_reads_stops_upper_server_only_while_it_is_there(lab: Lab) -> None:
    """Its replies fill the buffers. Then the server waits in send, and all other clients wait, too. When this
    client leaves, the server goes on."""
    server = lab.server("upper_server")
    a_client_that_never_reads(server, b"ping\n" * 200)
    late = server.connect("a client that reads late", receive_buffer=4096)
    taken = late.send_unread(b"pong\n" * 4_000_000)
    late.half_close()
    got = late.read_to_eof()
    expect(
        got == (b"PONG\n" * 4_000_000)[:taken],
        "all that it sent comes back in upper case",
        otherwise=f"{len(got)} bytes of {taken}",
        cause="short_send_ignored" if 0 < len(got) < taken else None,
    )
    for size in (65536, 50_000, 40_001, 30_002, 60_003, 20_004):  # a send may have taken nothing yet
        leaves_while_send_waits(server, size)
    got = a_hundred_megabytes(server)
    expect(
        got == b"X" * 100_000_000,
        "a hundred megabytes come back",
        otherwise=f"{len(got)} bytes",
        cause="short_send_ignored" if 0 < len(got) < 100_000_000 else None,
    )
    server.stop()


@check(points=4, read="time-wait", causes=ADDRESSES, after="upper_server_answers_in_upper_case")
def test_upper_server_starts_again_at_once_on_its_port(lab: Lab) -> None:
    """The side that closes first keeps the port for a minute (TIME_WAIT): a server that starts again needs
    this port."""
    for name, request in (("upper_server", b"x\n"), ("cas_server_lines", b"0 0\n")):
        server = lab.server(name, port=lab.own_port())
        ann = server.connect("ann")
        ann.send(request)
        ann.expect_match(rb"[^\n]*\n")  # what it should be is another check's
        server.stop()
        ann.expect_eof()
        ann.close()
        old = server.port

        def is_over() -> bool:
            states = {entry.status for entry in kernel.sockets() if entry.port == old}
            return "TIME_WAIT" in states and states <= {"TIME_WAIT", "CLOSE"}

        wait_until(is_over, "the old connection is in TIME_WAIT", cause="leaves_no_time_wait")
        with step(f"{name} starts again on the same port", quiet=True):
            again = lab.server(name, port=old, taken="no_reuseaddr")
        again.stop()


@check(points=4, read="first-server", causes=ADDRESSES, after="upper_server_answers_in_upper_case")
def test_upper_server_listens_where_it_is_told(lab: Lab) -> None:
    """One address, of IPv4 or IPv6; a port that is taken and a wrong option are told, each in its own way."""
    six = lab.server("upper_server", "-a", "::1")
    expect(six.address == "::1", "it listens at ::1", otherwise=six.address, cause="address_ignored")
    ann = six.connect("ann")
    ann.send(b"six")
    ann.expect(b"SIX")
    six.expect_port_kept(socket.SO_REUSEPORT, cause="port_shared")
    words = ("-a", "::1", "-p", str(six.port))
    taken = lab.run("upper_server", *words, endless=lambda: shared(six))
    taken.expect_status(1, cause="exits_wrongly")
    taken.expect_match(
        r"^upper_server: bind: Address already in use$", stream="stderr", cause="exits_wrongly"
    )
    lab.run("upper_server", "-p", "65536").expect_status(2).expect_match(
        "^usage: upper_server ", stream="stderr"
    )
    lab.run("upper_server", "word").expect_status(2).expect_match("^usage: upper_server ", stream="stderr")
    six.stop()
    for name in ("upper_server", "echo_server", "cas_server", "cas_server_lines"):
        server = lab.server(name)
        server.expect_private()
        server.expect_port_kept(socket.SO_REUSEPORT, cause="port_shared")
    with step("cas_server_lines is told a name, which stands for 127.0.0.2 first"):
        named = lab.start("cas_server_lines", "-p", "0", "-a", "localhost", faults={"names": 1})
        named.goes_on_until(lambda: named.stdout.text, "it listens", "name_refused")
        named.expect_match(r"^listening on 127\.0\.0\.2:\d+$")
    for name, port in (("upper_server", 4444), ("cas_server_lines", 22222), ("echo_server", 50007)):
        listens_by_default(lab, name, port)
    moments.ends_from_its_first_line_on(lab, "upper_server")
    serves_without_standard_streams(lab, "upper_server", request=b"ping", reply=b"PING")


def shared(server: Server) -> str:
    """The likely cause of a second server on the port of this one that does not end."""
    every = kernel.sockets("tcp") + kernel.sockets("tcp6")
    listeners = [one for one in every if one.status == "LISTEN" and one.port == server.port]
    return "port_shared" if len(listeners) > 1 else "does_not_end"


def tries_each_address(
    lab: Lab, upper: Upper, name: str, *words: str, sent: bytes, input: bytes = b"", output: bytes
) -> None:
    """A client finds the upper server at one address of localhost; nobody listens at those before. Its output
    has the reply to `sent`.
    """
    with step(f"localhost has 127.0.0.2, 127.0.0.3 and more: only {upper.address} has a listener"):
        port = str(upper.port)
        run = lab.run(name, "-p", port, "localhost", *words, input=input, faults={"names": 4})
        refused = b"connect: Connection refused" in run.stderr
        unseen = re.search(rb": (send|recv|write|read): (Connection refused|Broken pipe)", run.stderr)
        run.expect_status(
            cause="first_address_only" if refused else "refusal_unseen" if unseen else "wrong_exit_status"
        )
        run.expect_output(output)
    for six, why in ((1, "no way leads to it"), (2, "this kernel has no IPv6")):
        with step(f"localhost has an IPv6 address before these, but {why}"):
            faults = {"names": 4, "six": six}
            run = lab.run(name, "-p", port, "localhost", *words, input=input, faults=faults)
            run.expect_status(cause="stops_at_a_failure")
            run.expect_output(output)
    if has_ipv6():
        with step("localhost is [::1] and 127.0.0.1: only [::1] has a listener"):
            six_only = lab.upper("::1")
            port, faults = str(six_only.port), {"six": 3}
            run = lab.run(name, "-p", port, "localhost", *words, input=input, faults=faults)
            run.expect_status(cause="one_family_only")
            run.expect_output(output.replace(upper.reply(sent), six_only.reply(sent)))


def upper_somewhere(lab: Lab) -> Upper:
    """An upper server at an address that only the list of them tells; see tries_each_address()."""
    return lab.upper(f"127.0.0.{lab.secret.randint(3, 5)}")


@check(points=7, read="recv-is-not-a-reply", causes=BYTES | ONE_SEND, slow=True)
def test_upper_client_prints_whole_replies(lab: Lab) -> None:
    """A reply comes in as many pieces as the network likes; and a line of thirty megabytes is a line, too."""
    listener = lab.listen()
    client = lab.start("upper_client", "-p", str(listener.port), "127.0.0.1", stdin=True)
    client.type("hello\n")
    server = listener.accept("the server", client)
    client.expect_text("Input: ", cause={"answer": "prompt_held_back"})
    server.expect(b"hello")
    expect(server.unread() == b"", "nothing else", otherwise=show(server.unread()), cause="newline_sent")
    reply = secret_word(5).upper()  # no client can know it before
    for piece in (reply[:1], reply[1:3], reply[3:]):
        server.send(piece)
        server.expect_read(cause=lambda: "one_recv" if "Output: " in client.stdout.text else None)
    client.expect_text(f"Output: {reply.decode()}\nInput: ", cause={"bytes": "one_recv"})
    client.type("a\0b\n")
    server.expect(b"a\0b", cause={"bytes": "ends_at_zero"})
    server.send(b"A\0B")
    client.expect_text("Output: A\0B\nInput: ", cause={"bytes": "ends_at_zero"})
    client.type("c\r\n")
    server.expect(b"c\r", cause="line_changed")
    server.send(b"C\r")
    client.expect_text("Output: C\r\nInput: ")
    client.type(" \t\r\n")
    client.goes_on_until(server.unread, "it sends that line, too", "blanks_end_it")
    server.expect(b" \t\r", cause={"bytes": "line_changed"})
    server.send(b" \t\r")
    client.expect_text("Output:  \t\r\nInput: ")
    client.type("soon\n")
    server.expect_prompt()
    server.expect(b"soon")
    server.send(reply[:4])
    client.expect_text(f"Output: {reply[:4].decode()}\nInput: ")
    client.type("\n")
    server.expect_eof()
    client.expect_exit(0)
    ends = lab.start("upper_client", "-p", str(listener.port), "127.0.0.1", stdin=True)
    server = listener.accept("a server that ends early", ends)
    ends.type("hello\n")
    server.expect(b"hello")
    server.send(b"HEL")
    server.half_close()
    ends.expect_exit(1, cause="part_taken_for_all")
    ends.expect_match("^upper_client: ", stream="stderr")
    gone = lab.start("upper_client", "-p", str(listener.port), "127.0.0.1", stdin=True)
    server = listener.accept("a server that ends while it is sent a line", gone)
    gone.type("x" * 1_000_000 + "\n")
    gone.expect_at_rest()
    with gone.paused():
        server.send(server.unread()[:65536].upper())
        server.half_close()
        server.reset()
    gone.expect_exit(1, cause=lambda: "sigpipe" if gone.status() == -signal.SIGPIPE else "part_taken_for_all")
    gone.expect_match("^upper_client: ", stream="stderr")
    upper = upper_somewhere(lab)
    output = b"Input: Output: " + upper.reply(b"hello") + b"\nInput: "
    tries_each_address(lab, upper, "upper_client", sent=b"hello", input=b"hello\n", output=output)
    words = b"the quick brown fox jumps over the lazy dog"
    sevens = lab.run(
        "upper_client",
        "-p",
        str(upper.port),
        upper.address,
        input=words,
        faults={"send": 7},
        endless="short_send_ignored",
    )
    sevens.expect_status(cause="short_send_ignored")
    sevens.expect_output(b"Input: Output: " + upper.reply(words) + b"\nInput: ", cause="short_send_ignored")
    line = b"q" * 30_000_000  # more than the buffers between the two hold
    run = lab.run(
        "upper_client",
        "-p",
        str(upper.port),
        upper.address,
        input=line + b"\nend",
        endless=lambda: "deadlock" if upper.both_send() else "does_not_end",
        moved=lambda: upper.moved,
    )
    output = (
        b"Input: Output: " + upper.reply(line) + b"\nInput: Output: " + upper.reply(b"end") + b"\nInput: "
    )
    run.expect_status().expect_output(output)
    connects_by_default(lab, "upper_client", 4444)
    lab.run("upper_client", "-p", str(listener.port)).expect_status(2)
    listener.close()
    refused = lab.run("upper_client", "-p", str(listener.port), "127.0.0.1").expect_status(1)
    refused.expect_match("^upper_client: connect: Connection refused$", stream="stderr")


# --- echo


@check(
    points=3,
    read="echo",
    causes=ONE_SEND
    | DATED
    | {"no_simulated_work": "With -d SECONDS the server sleeps so long for each client, before it reads."},
)
def test_echo_server_sends_each_chunk_back_with_the_date(lab: Lab) -> None:
    """`Echo=>CHUNK at DATE`: and whole, also when send takes seven bytes at a time."""
    server = lab.server("echo_server", faults={"send": 7})
    ann = server.connect("ann")
    for chunk in (b"Hello network world, " + secret_word(), b"\0\xff\n", b"x" * 1024):
        ann.send(chunk)
        ann.expect_match(
            rb"\AEcho=>" + re.escape(chunk) + rb" at " + DATE + rb"\Z", cause={"bytes": "short_send_ignored"}
        )
        ann.send(b"once more")
        ann.expect_prompt()
        ann.expect_match(rb"\AEcho=>once more at " + DATE + rb"\Z")
    server.expect_patient()
    dated_anew(ann)
    server.stop()
    server = lab.server("echo_server")
    for _ in range(3):
        sent, got = send_ends_early(server, b"x" * 20_000_000)
        length = sum(len(chunk) for chunk in re.findall(rb"Echo=>(x{1,1024}) at " + DATE, got))
        expect(
            length == len(sent),
            "all that it sent comes back, each piece with its date",
            otherwise=f"{length} bytes of {len(sent)}",
            cause="short_send_ignored",
        )
    server.stop()
    busy = lab.server("echo_server", "-d", "3600")
    bob = busy.connect("bob")
    bob.expect_accepted()
    wait_until(
        lambda: "nanosleep" in kernel.waiting_in(busy.pid),
        "the server simulates its work",
        cause="no_simulated_work",
    )
    busy.stop()


@check(
    points=2,
    read="rude-clients",
    causes=CLIENTS | ONE_SEND,
    after="echo_server_sends_each_chunk_back_with_the_date",
    slow=True,
)
def test_no_client_ends_echo_server(lab: Lab) -> None:
    """As in the first server, the end of one client must not disturb any other client."""
    server = lab.server("echo_server")

    def talk(peer: Peer) -> None:
        peer.send(b"ping")
        peer.expect_match(rb"\AEcho=>ping at " + DATE, cause={"bytes": "kept_for_the_next"})

    rude_clients(server, talk, b"ping")
    a_crowd(server, talk)
    a_client_that_never_reads(server, b"ping" * 250)
    got = a_hundred_megabytes(server)
    length = sum(len(chunk) for chunk in re.findall(rb"Echo=>(x{1,1024}) at " + DATE, got))
    expect(
        length == 100_000_000,
        "a hundred megabytes come back",
        otherwise=f"{length} bytes",
        cause="short_send_ignored" if 0 < length < 100_000_000 else None,
    )
    server.stop()


@check(points=2, read="echo", causes=BYTES)
def test_echo_client_waits_for_the_date(lab: Lab) -> None:
    """A reply is longer than its request. It is complete when its date is complete."""
    listener = lab.listen()
    client = lab.start("echo_client", "-p", str(listener.port))
    server = listener.accept("the server", client)
    server.expect(b"Hello network world")
    date = time.asctime(time.gmtime(lab.secret.randrange(1 << 31))).encode()
    replies = [b"Echo=>Hello network", b" world at " + date[:10], date[10:-1], date[-1:]]
    for piece in replies:
        server.send(piece)
        server.expect_read(cause=lambda: "one_recv" if "received: 'E" in client.stdout.text else None)
    client.expect_exit(0)
    client.expect_text(
        f"Client received: 'Echo=>Hello network world at {date.decode()}'\n",
        cause={"bytes": "one_recv"},
    )
    real = lab.server("echo_server")
    long = "w" * 1020
    run = lab.run("echo_client", "-p", str(real.port), "localhost", "one", long, "two").expect_status()
    words = [re.escape(word) for word in ("one", long, "two")]
    lines = "".join(rf"Client received: 'Echo=>{word} at {DATE.decode()}'\n" for word in words)
    run.expect_match(rf"\A{lines}\Z", cause="one_recv")


@check(points=0, read="echo")
def test_echo_many_starts_clients_at_once_and_waits_for_all(lab: Lab) -> None:
    """Five clients connect before the first one is served, and the program reports how each of them ended."""
    lab.require("echo_client")  # which echo_many starts
    server = lab.server("echo_server")
    with server.paused():
        many = lab.start("echo_many", "-p", str(server.port), "-n", "5", "127.0.0.1", "one", "two")
        wait_until(lambda: len(many.children()) == 5, "there are five clients")
        waiting = [entry for entry in kernel.listening(server.pid)]
        wait_until(lambda: kernel.listening(server.pid)[0].unread == 5, "all five wait in the backlog")
        expect(len(waiting) == 1, "the server has one listening socket")
    many.expect_exit(0)
    for number in range(1, 6):
        many.expect_match(rf"^client {number}: exit status 0$")
    expect(
        many.stdout.text.count("Client received: 'Echo=>two at ") == 5,
        "each has printed its reply to the second word",
    )
    server.stop()
    none = lab.run("echo_many", "-p", str(server.port), "-n", "2", "127.0.0.1").expect_status(1)
    none.expect_match(r"^client 2: exit status 1$")


# --- compare and swap


@check(points=0, read="a-piece-is-not-a-line", causes=AS_PRINTED)
def test_cas_server_takes_each_recv_for_a_line(lab: Lab) -> None:
    """Wrong on purpose: it serves one line in one piece, and nothing else. And it ends its lines with \\n\\r
    instead of \\r\\n."""
    server = lab.server("cas_server")
    ann = server.connect("ann")
    ann.send(b"0 7\n")
    ann.expect(b"0\n\r", cause={"bytes": "not_broken_any_more"})
    ann.send(b"7 18446744073709551616\n")
    ann.expect(b"Out of Range\n\r")
    with step("two lines in one piece get one reply"):
        ann.send(b"7 8\n8 9\n")
        ann.expect(b"Bad Syntax\n\r", cause="not_broken_any_more")
    with step("one line in two pieces gets two"):
        ann.send(b"7")
        ann.expect(b"Bad Syntax\n\r", cause="not_broken_any_more")
        ann.send(b" 8\n")
        ann.expect(b"Bad Syntax\n\r", cause="not_broken_any_more")
    ann.send(b"7 7\n")
    ann.expect(b"7\n\r")
    ann.half_close()
    ann.expect_eof()
    server.stop()


@check(points=0, read="rude-clients", causes=CLIENTS, slow=True)
def test_no_client_ends_cas_server(lab: Lab) -> None:
    """Only its handling of lines is wrong: no client can end it."""
    server = lab.server("cas_server")

    def talk(peer: Peer) -> None:
        peer.send(b"0 0\n")
        peer.expect(b"0\n\r")

    rude_clients(server, talk, b"0 0\n")
    a_crowd(server, talk)
    a_client_that_never_reads(server, b"0 0\n")
    for piece in (b"0 \0\n", b"0 \xff\n", b"x" * MAX_LINE + b"\n", b"x" * (MAX_LINE + 1) + b"\n"):
        bob = server.connect("bob")
        bob.send(piece)
        bob.expect(b"Bad Syntax\n\r")
        bob.close()
    got = a_hundred_megabytes(server)
    expect(
        got.replace(b"Bad Syntax\n\r", b"") == b"",
        "each piece of a hundred megabytes gets Bad Syntax",
        otherwise="other replies came",
    )
    server.stop()


@check(points=3, read="three-clients", causes=CONNECTING)
def test_the_cas_clients_send_what_they_should(lab: Lab) -> None:
    """One line in one send, any bytes in one send, one line in four; each then half-closes and prints all
    that comes.
    """
    for name, words, sent in (
        ("cas_client", ("0", "7"), b"0 7\n"),
        ("cas_client_raw", ("7 8\n8",), b"7 8\n8"),
        ("cas_client_split", ("0", "7"), b"0 7\n"),
    ):
        listener = lab.listen()
        client = lab.start(name, "-p", str(listener.port), "127.0.0.1", *words)
        server = listener.accept("the server", client)
        server.expect(sent)
        server.expect_eof()
        server.send(b"first\n")
        server.send(b"second, and no newline")
        server.half_close()
        client.expect_exit(0)
        client.expect_text("first\nsecond, and no newline")
        listener.close()
    upper = upper_somewhere(lab)
    old, new = (str(lab.secret.randrange(1 << 32)) for _ in range(2))
    line = f"{old} {new}\n".encode()
    tries_each_address(lab, upper, "cas_client", old, new, sent=line, output=upper.reply(line))
    connects_by_default(lab, "cas_client", 22222, "0", "7")
    connects_by_default(lab, "echo_client", 50007)
    with step("the line that cas_client_split cuts is no line for cas_server"):
        broken = lab.server("cas_server", faults={"recv": 1})
        split = lab.run("cas_client_split", "-p", str(broken.port), "127.0.0.1", "0", "7").expect_status()
        split.expect_output(b"Bad Syntax\n\r" * 4)


@check(points=7, read="lines-from-pieces", causes=LINES | ONE_SEND | CLIENTS)
def test_cas_server_lines_assembles_lines(lab: Lab) -> None:
    """One line in four pieces is one request. Three lines in one piece are three requests. Half a line at the
    end is no request."""
    server = lab.server("cas_server_lines")
    ann = server.connect("ann")
    seven, eight, nine, ten = (b"%d" % lab.secret.randrange(100, 1 << 31) for _ in range(4))
    ann.send(b"0 " + seven + b"\n")
    ann.expect(b"0\n")
    ann.send(seven + b" " + seven + b"\n")
    ann.expect_prompt()
    ann.expect(seven + b"\n")
    server.expect_patient()
    for piece in (seven, b" ", eight):
        ann.send(piece)
        asleep_in_recv(server, ann)
    expect(
        ann.unread() == b"",
        "nothing comes before the newline",
        otherwise="a reply",
        cause="recv_taken_for_line",
    )
    ann.send(b"\n")
    ann.expect(seven + b"\n", cause={"bytes": "recv_taken_for_line", "answer": "recv_taken_for_line"})
    ann.send(b"%b %b\n%b %b\nx\n%b" % (eight, nine, nine, ten, ten))
    ann.expect(b"%b\n%b\nBad Syntax\n" % (eight, nine), cause={"bytes": "rest_lost"})
    ann.send(b" 11\n11 0\n0 555555555555")
    ann.expect(ten + b"\n11\n", cause={"bytes": "rest_lost"})
    ann.half_close()
    ann.expect_eof(cause={"bytes": "half_line_served"})
    bob = server.connect("bob")
    bob.send(b"0 0\n")
    bob.expect(b"0\n", cause={"bytes": "half_line_served", "answer": "kept_for_the_next"})
    server.stop()


@check(points=3, read="lines-from-pieces", causes=LINES | ONE_SEND, after="cas_server_lines_assembles_lines")
def test_one_register_serves_all_clients(lab: Lab) -> None:
    """The next client finds the value that a client has stored."""
    server = lab.server("cas_server_lines")
    for number, name in enumerate(("ann", "bob", "cat")):
        client = server.connect(name)
        client.send(f"{number} {number + 1}\n".encode())
        client.expect(f"{number}\n".encode(), cause={"bytes": "register_per_client"})
        server.expect_logged("connected", client)
        client.half_close()
        client.expect_eof()


@check(points=3, read="short-send", causes=ONE_SEND, after="cas_server_lines_assembles_lines")
def test_cas_server_lines_sends_every_byte(lab: Lab) -> None:
    """Forty replies at once, and send takes seven bytes at a time."""
    server = lab.server("cas_server_lines", faults={"send": 7})
    ann = server.connect("ann")
    ann.send(b"nonsense\n" * 40)
    ann.expect(b"Bad Syntax\n" * 40, cause={"bytes": "short_send_ignored"})
    server = lab.server("cas_server_lines")
    for _ in range(3):
        sent, got = send_ends_early(server, b"nonsense\n" * 2_000_000)
        wanted = b"Bad Syntax\n" * sent.count(b"\n")
        expect(
            got == wanted,
            "each line gets its reply",
            otherwise=f"{len(got)} bytes of {len(wanted)}",
            cause="short_send_ignored" if len(got) < len(wanted) else "sent_again",
        )


@check(points=4, read="too-long", causes=LINES | ONE_SEND, after="cas_server_lines_assembles_lines")
def test_a_line_too_long_is_refused_and_the_refusal_arrives(lab: Lab) -> None:
    """65 536 bytes are a line, 65 537 are not: the client is told, sees an orderly end, and the next one is
    served.
    """
    server = lab.server("cas_server_lines")
    ann = server.connect("ann")
    ann.expect_accepted()
    with server.paused():
        ann.send(b"1 1\n" + b"x" * MAX_LINE + b"\n" + b"2 2\n" * 5000)
    ann.expect(
        b"0\nBad Syntax\n" + b"0\n" * 5000,
        cause=lambda: "limit_wrong" if b"Line too long" in ann.unread() else "rest_lost",
    )
    ann.close()
    bob = server.connect("bob")
    bob.send(b"3 3\n" + b"x" * MAX_LINE)
    asleep_in_recv(server, bob)
    bob.expect(b"0\n", cause={"bytes": "limit_wrong"})
    expect(
        bob.unread() == b"",
        "65 536 bytes may still become a line",
        otherwise="they were refused",
        cause="limit_wrong",
    )
    bob.send(b"x")

    def why_silent() -> str | None:
        """The likely cause if a byte too many gets no answer: it is told by what more bytes get."""
        if bob.unread() or not bob.accepted():
            return None
        bob.send(b"x" * MAX_LINE)
        return "limit_wrong" if poll(bob.unread, deadline()) else "unbounded_line"

    bob.expect(b"Line too long\n", cause=why_silent)
    bob.send(b"x" * 300_000 + b"\n4 4\n")
    bob.half_close()
    bob.expect_eof(cause={"reset": "reset_too_early"})
    cat = server.connect("cat")
    cat.expect_accepted()
    with server.paused():
        cat.send(b"x" * (MAX_LINE + 100_000) + b"\n5 5\n")
        cat.half_close()
    cat.expect(b"Line too long\n", cause={"reset": "reset_too_early", "answer": "unbounded_line"})
    cat.expect_eof(cause={"reset": "reset_too_early"})
    eve = server.connect("eve")
    with server.paused():
        eve.send(b"x" * (MAX_LINE + 1) + b"\n0 0\n")
    eve.expect(b"Line too long\n", cause={"bytes": "limit_wrong"})
    fay = server.connect("fay")
    with server.paused():
        fay.send(b"x\n0 y\n" + b"9" * (MAX_LINE + 100_000))
    fay.expect(b"Bad Syntax\nBad Syntax\nLine too long\n", cause={"bytes": "replies_dropped"})
    fay.close()
    eve.close()
    gus = server.connect("gus")
    gus.send(b"x" * (MAX_LINE + 1))
    gus.expect(b"Line too long\n", cause="limit_wrong")
    dan = server.connect("dan")

    def accepted_though_gus_sends() -> bool | None:
        gus.send_unread(b"x")
        return dan.accepted()

    with step("gus sends a byte again and again", quiet=True):
        poll(accepted_though_gus_sends, deadline())  # about two seconds are allowed
        wait_until(accepted_though_gus_sends, "dan is accepted nevertheless", cause="lingers_for_ever")
    dan.send(b"5 5\n")
    dan.expect(b"0\n")
    server.stop()


@check(points=3, read="too-long", causes=LINES, hidden=True, after="cas_server_lines_assembles_lines")
def test_a_line_without_end_takes_no_memory(lab: Lab) -> None:
    """A hundred megabytes without a newline: a server that keeps them for one client has no memory left for
    others."""
    server = lab.server("cas_server_lines")
    before = kernel.memory(server.pid)
    ann = server.connect("ann")
    ann.send(b"x" * 100_000_000)
    ann.expect(b"Line too long\n", cause={"answer": "unbounded_line"})
    ann.close()
    bob = server.connect("bob")
    bob.send(b"0 0\n")
    bob.expect(b"0\n")
    server.expect_serves_itself(bob)
    expect_little_more(server, before, 10_000_000, "the server is about as large as before", "unbounded_line")
    bob.send((b"x" * MAX_LINE + b"\n") * 500)
    bob.expect(b"Bad Syntax\n" * 500)
    expect_little_more(server, before, 10_000_000, "it is, after 500 lines of one client, too", "lines_kept")
    server.stop()


@check(
    points=4,
    read="lines-from-pieces",
    causes=LINES | ONE_SEND,
    after="cas_server_lines_assembles_lines",
    slow=True,
)
def test_any_cutting_of_the_stream_gets_the_same_replies(lab: Lab) -> None:
    """The network may cut the stream anywhere. The replies must not depend on it."""
    server = lab.server("cas_server_lines")
    value, lines, replies = 0, [], []
    for _ in range(60):
        kind = lab.random.randrange(5)
        old, new = lab.random.choice((value, value, 3)), lab.random.randrange(1 << 64)
        if kind == 0:
            lines.append(lab.random.choice(("", "1", "1 2 3", "1 x", "-1 2", "\0 1 2")))
            replies.append("Bad Syntax")
        elif kind == 1:
            lines.append(f"{old} {new + (1 << 64)}")
            replies.append("Out of Range")
        else:
            lines.append(f" \t{old}\v\f 0{new}\r")
            replies.append(str(value))
            value = new if old == value else value
    stream = "".join(line + "\n" for line in lines).encode()
    expected = "".join(reply + "\n" for reply in replies).encode()
    ann = server.connect("ann")
    ann.send(stream)
    ann.expect(expected, cause={"bytes": "rest_lost"})
    ann.send(f"{value} 0\n".encode())
    ann.expect(f"{value}\n".encode())
    send_cut(lab, ann, stream)
    ann.expect(expected, cause={"bytes": "recv_taken_for_line"})


@check(points=3, read="rude-clients", causes=CLIENTS | ONE_SEND, after="cas_server_lines_assembles_lines")
def test_no_client_ends_cas_server_lines(lab: Lab) -> None:
    """Replies unread, half a line, a reset in the middle: each ends one connection."""
    server = lab.server("cas_server_lines")

    def talk(peer: Peer) -> None:
        peer.send(b"0 0\n")
        peer.expect(b"0\n", cause={"bytes": "kept_for_the_next"})

    rude_clients(server, talk, b"0 0\n0 0\n0")
    a_crowd(server, talk)
    a_client_that_never_reads(server, b"nonsense\n")
    for size in (20_000, 10_001, 15_002, 5_003):  # a send may have taken nothing yet
        leaves_while_send_waits(server, size, b"\n")
    server.stop()


@check(
    points=4,
    read="accept-fails",
    causes=shortage.CAUSES | shortage.GONE,
    after="upper_server_answers_in_upper_case",
)
def test_a_server_without_descriptors_rests(lab: Lab) -> None:
    """accept fails at once while the system has no descriptor: the server says so, rests, and goes on."""
    shortage.rests_when_accept_fails(lab, "upper_server", request=b"ping\n", reply=b"PING\n")
    shortage.rests_when_accept_fails(lab, "cas_server_lines", request=b"0 0\n", reply=b"0\n")
    shortage.one_has_gone(lab.server("upper_server", faults={"aborted": 2}), b"ping\n", b"PING\n")


# --- framing


def framed(lab: Lab, kind: str, stream: bytes, sizes: list[int]) -> tuple[list[bytes], bytes]:
    """The messages that framing_demo finds in the stream, cut so; and what is left over."""
    run = lab.run("framing_demo", kind, *map(str, sizes), input=stream).expect_status()
    told = [(line.partition(b" ")[0], line) for line in run.stdout.splitlines()]
    unquoted = {
        word: [literal_eval("b" + line[line.index(b'"') :].decode()) for first, line in told if first == word]
        for word in (b"message", b"left")
    }
    return unquoted[b"message"], b"".join(unquoted[b"left"])


def shown(messages: list[bytes], rest: bytes) -> str:
    """What a decoder has found, in a line."""
    return ", ".join(map(show, messages[:4])) + f" and {show(rest)} left over"


def why_framed_so(stream: bytes, messages: list[bytes], rest: bytes, found: list[bytes]) -> str | None:
    """The likely cause of other messages than these: by what was found."""
    pairs = list(zip(found, [*messages, rest]))
    wrong, right = next(((one, other) for one, other in pairs if one != other), (b"", b""))
    if not found:
        return "nothing_found"
    if len(found) < len(messages) and list(filter(None, found)) == list(filter(None, messages)):
        return "empty_lost"
    if wrong == right + b"\n" and b"\n" in stream:
        return "separator_kept"
    if (wrong != right and right.startswith(wrong)) or (rest and found == [*messages, rest]):
        return "too_early"
    if found == messages[: len(found)] and len(found) < len(messages) and b"\0" in messages[len(found)]:
        return "ends_at_zero"
    return "only_one" if found == messages[: len(found)] and len(found) < len(messages) else None


def expect_framed(
    lab: Lab,
    kind: str,
    stream: bytes,
    messages: list[bytes],
    rest: bytes,
    cause: str | None = None,
    cuttings: list[list[int]] | None = None,
) -> None:
    """Any cutting gives these messages. cause: the likely one of others; else what was found tells it."""
    drawn = [lab.random.randint(1, 7) for _ in range(9)]
    for sizes in cuttings or [[len(stream)], [1], [3], [len(stream) - 1, 1], drawn]:
        got = framed(lab, kind, stream, sizes)
        expect(
            got == (messages, rest),
            f"the messages are the same in pieces of {', '.join(map(str, sizes))} bytes",
            otherwise="others",
            cause=cause or why_framed_so(stream, messages, rest, got[0]),
            details=[f"expected {shown(messages, rest)}", f"found    {shown(*got)}"],
        )


@check(points=3, read="framing", causes=FRAMES)
def test_messages_of_fixed_length_are_found(lab: Lab) -> None:
    """Eight bytes are a message, however many recv returned at a time."""
    expect_framed(lab, "fixed", b"start   connect rest", [b"start   ", b"connect "], b"rest")
    expect_framed(lab, "fixed", b"12345678", [b"12345678"], b"")
    messages = [lab.secret.randbytes(8) for _ in range(3)]
    expect_framed(lab, "fixed", b"".join(messages) + b"end", messages, b"end")


@check(points=3, read="framing", causes=FRAMES)
def test_messages_before_a_separator_are_found(lab: Lab) -> None:
    """The bytes up to a newline are a message, even an empty one. Behind the last newline there is no message
    yet."""
    expect_framed(lab, "separator", b"start\nconnect\n", [b"start", b"connect"], b"")
    expect_framed(lab, "separator", b"a\n\0\r\nb\n\xffend", [b"a", b"\0\r", b"b"], b"\xffend")
    expect_framed(lab, "separator", b"\n\0\r\n\n\xffend", [b"", b"\0\r", b""], b"\xffend")
    messages = [lab.secret.randbytes(9).replace(b"\n", b"") for _ in range(3)]
    expect_framed(lab, "separator", b"\n".join([*messages, b"end"]), messages, b"end")


@check(points=3, read="framing", causes=FRAMES)
def test_messages_behind_their_length_are_found(lab: Lab) -> None:
    """Two bytes of length, then as many bytes, newlines and zeros among them."""
    one = b"\0\5start"
    expect_framed(lab, "prefix", one, [b"start"], b"", cuttings=[[7]])  # what goes wrong now is no cutting's
    expect_framed(lab, "prefix", one, [b"start"], b"", "prefix_in_one_piece", cuttings=[[1, 6]])
    expect_framed(lab, "prefix", one, [b"start"], b"", "prefix_lost", cuttings=[[2, 5]])
    expect_framed(lab, "prefix", one + b"\0\0\0\7connect", [b"start", b"", b"connect"], b"")
    expect_framed(lab, "prefix", one + b"\0\0", [b"start", b""], b"")
    expect_framed(lab, "prefix", b"\0\2\n\0\1\0rest", [b"\n\0"], b"\1\0rest")
    long = bytes(i % 251 for i in range(0x1FF))
    expect_framed(lab, "prefix", b"\1\xff" + long + b"\0\1x", [long, b"x"], b"", "signed_prefix")
    for length, cause in ((0x8001, "signed_prefix"), (0xFFFF, "largest_length")):
        large = bytes(length)
        stream = length.to_bytes(2, "big") + large + b"\0\1x"
        expect_framed(lab, "prefix", stream, [large, b"x"], b"", cause)
    messages = [lab.secret.randbytes(lab.secret.randrange(9)) for _ in range(3)]
    stream = b"".join(len(message).to_bytes(2, "big") + message for message in messages)
    expect_framed(lab, "prefix", stream + b"\0", messages, b"\0")


@check(points=0, read="framing")
def test_a_connection_may_carry_one_message(lab: Lab) -> None:
    """Until the end of the connection, or, without any framing, whatever recv happened to return."""
    messages, rest = framed(lab, "close", b"startconnect", [7, 2])
    expect((messages, rest) == ([b"startconnect"], b""), "the end of the connection ends the one message")
    messages, rest = framed(lab, "none", b"startconnect", [7, 9])
    expect(
        (messages, rest) == ([b"startco", b"nnect"], b""), "without framing each piece is taken for a message"
    )


# --- addresses


def why_not_bound(run: Run) -> str | None:
    """The likely cause of a run that has bound nothing, by what it says."""
    unbound = re.search(rb"^bound to (0\.0\.0\.0|\[::\]):0$", run.stdout, re.MULTILINE)
    return "not_bound" if unbound or b"addresses: bind: " in run.stderr else None


@check(points=4, read="addresses", causes=NAMES)
def test_addresses_binds_to_a_name(lab: Lab) -> None:
    """A name may stand for several addresses: each is printed, and the first that this machine can bind is
    bound.
    """
    found = {address[0] for *_, address in socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)}
    found |= {"ff02::1", "127.0.0.2", "127.0.0.3"}
    with step("localhost has more addresses for the program: ff02::1, 127.0.0.2 and 127.0.0.3 come first"):
        run = lab.run("addresses", "localhost", "0", faults={"names": 2, "six": 2})
        run.expect_status(cause=lambda: why_not_bound(run))
    every = run.stdout.decode(errors="replace").splitlines()
    lines = [line for line in every if line.startswith("localhost ")]
    told = re.findall(r"^localhost 0 is \[?([^]\n]*?)\]?:0$", "\n".join(lines), re.MULTILINE)
    printed = "it printed: " + "; ".join(lines) if lines else "no such line"
    expect(
        set(told) == found,
        f"`./addresses localhost 0` prints `localhost 0 is ADDRESS:0` for {', '.join(sorted(found))}",
        otherwise=printed,
        cause="an_address_is_missing" if told and set(told) < found else None,
    )
    expect(
        len(told) == len(found),
        "each address is printed once",
        otherwise=printed,
        cause="not_streams_only" if any(told.count(one) == 3 for one in found) else None,
    )
    run.expect_match(r"^bound to (127\.0\.0\.[123]|\[::1\]):[1-9]\d*$", cause=lambda: why_not_bound(run))
    usual = lab.run("addresses")
    usual.expect_status(cause=lambda: why_not_bound(usual))
    usual.expect_match(r"^localhost 0 is ")  # no arguments mean localhost and 0
    one = lab.run("addresses", "127.0.0.1", "0")
    one.expect_status(cause=lambda: why_not_bound(one))
    one.expect_match(r"^bound to 127\.0\.0\.1:[1-9]\d*$", cause=lambda: why_not_bound(one))
    for count in lab.secret.sample((1, 2, 3), 2):
        taken = [f"127.0.0.{2 + number}" for number in range(count)]
        with step(f"sockets of this machine have {', '.join(taken)} and the port", quiet=True):
            listeners = [lab.listen(taken[0])]
            port = listeners[0].port
            listeners += [lab.listen(address, port) for address in taken[1:]]
            second = lab.run("addresses", "localhost", str(port), faults={"names": 4})
            second.expect_status(cause=why_not_bound(second))
            second.expect_match(rf"^bound to 127\.0\.0\.{2 + count}:{port}$", cause="not_bound")
            for listener in listeners:
                listener.close()
    none = lab.run("addresses", "192.0.2.1", "80")
    none.expect_status(1, cause=lambda: why_not_bound(none))
    none.expect_match(r"^192\.0\.2\.1 80 is 192\.0\.2\.1:80$")
    none.expect_match(
        r"^addresses: bind: none of these addresses is this machine's and free$",
        "not_the_reason",
        stream="stderr",
    )
    with contextlib.suppress(OSError):  # a machine without /etc/services
        port = socket.getservbyname("http", "tcp")
        named = lab.run("addresses", "127.0.0.1", "http")
        named.expect_match(rf"^127\.0\.0\.1 http is 127\.0\.0\.1:{port}$", cause="numbers_only")
    unknown = lab.run("addresses", "127.0.0.1", "no such service")
    ignored = None if b"not supported for" in unknown.stderr else "an_error_is_ignored"
    unknown.expect_status(1, cause=ignored)
    unknown.expect_match(r"^addresses: getaddrinfo: ", stream="stderr", cause=ignored)


# --- the kernel's part


@check(points=0, read="backlog")
def test_the_backlog_takes_one_client_more_than_it_says(lab: Lab) -> None:
    """Linux completes the handshake of one client more than the backlog, and drops the segments of the
    others.
    """
    run = lab.run("backlog").expect_status()
    states = re.findall(
        rb"^client \d connects: (\w+)\n    waiting for accept: (\d) ", run.stdout, re.MULTILINE
    )
    expected = [(b"ESTABLISHED", b"%d" % i) for i in range(1, 5)] + [(b"SYN_SENT", b"4")] * 2
    expect(
        states == expected, "with a backlog of 3 four of six handshakes are complete", otherwise=str(states)
    )
    run.expect_match(
        r"^the server accepts one client\n    waiting for accept: [34] .*\nclient [56] has asked again "
        r"after .* ESTABLISHED$"
    )
    small = lab.run("backlog", "-l", "0", "-n", "3").expect_status()
    expect(small.stdout.count(b"SYN_SENT") == 2, "with a backlog of 0 one of three is")
    deferred = lab.run("backlog", "-o", "-n", "3", "-w", "0.1").expect_status()
    waiting = re.findall(
        rb"waiting for accept: (\d) \(backlog 3\), half open: (\d)$", deferred.stdout, re.MULTILINE
    )
    expect(
        waiting == [(b"0", b"1"), (b"0", b"2"), (b"0", b"3"), (b"0", b"2")],
        "with TCP_DEFER_ACCEPT handshakes stay half open until a byte comes",
        otherwise=str(waiting),
    )


@check(points=0, read="socket-options")
def test_socket_options_shows_what_the_kernel_made_of_them(lab: Lab) -> None:
    """SO_RCVBUF doubles; most others are what was asked for."""
    run = lab.run("socket_options").expect_status()
    rows = {
        name: (int(wanted), int(now))
        for name, wanted, now in re.findall(rb"^((?:SO|TCP)_\w+) +\d+ +(\d+) +(\d+)", run.stdout, re.M)
    }
    expect(len(rows) >= 8, "there are eight options or more", otherwise=f"{len(rows)} rows")
    for name in (b"SO_RCVBUF", b"SO_SNDBUF"):
        expect(rows[name][1] == 2 * rows[name][0], f"{name.decode()} is doubled", otherwise=str(rows[name]))
    for name in (b"SO_REUSEADDR", b"SO_KEEPALIVE", b"SO_BROADCAST", b"TCP_NODELAY"):
        expect(rows[name][1] != 0, f"{name.decode()} is on")


@check(points=0, read="socket-families")
def test_socket_families_tries_them_all(lab: Lab) -> None:
    """Streams and datagrams of IPv4 and of Unix domain sockets exist everywhere, and carry a greeting."""
    run = lab.run("socket_families").expect_status()
    for family in ("AF_INET", "AF_LOCAL"):
        for kind in ("SOCK_STREAM", "SOCK_DGRAM"):
            run.expect_match(rf"^{family} +{kind} +yes$")
    run.expect_match(r"^AF_ROUTE +SOCK_STREAM +Socket type not supported$")
    expect(
        len(re.findall(rb"^AF_\w+ +SOCK_\w+ +\S", run.stdout, re.M)) == 15,
        "all fifteen pairs are in the table",
    )
    run.expect_match(r"^hello over IPv4$")
    run.expect_match(r"^(hello|nothing) over IPv6")
    run.expect_match(r"^hello over a local socket$")


@check(points=0, read="ephemeral-port")
def test_a_client_can_connect_to_itself(lab: Lab) -> None:
    """A server should not use a port of the ephemeral range: a client may connect to itself there."""
    run = lab.run("ephemeral_port").expect_status()
    port = int(run.expect_match(r"^bound to port 0, and got 127\.0\.0\.1:(\d+)$")[1])
    expect(port != 0, "the kernel chose a port")
    met = run.expect_match(r"^connected at try \d+: (127\.0\.0\.1:\d+) to (127\.0\.0\.1:\d+)$")
    expect(met[1] == met[2], "both ends of the connection are the same")
    run.expect_match("^sent hello, received hello$")


@check(points=0, read="nagle")
def test_a_request_in_two_writes_waits_for_an_acknowledgement(lab: Lab) -> None:
    """Two small writes: the second waits until the first is acknowledged, and the other side delays its
    acknowledgement."""
    run = lab.run("nagle").expect_status()
    rows = re.findall(rb"^(\w+ writes?.*?)  +(\d+) +(\d+) +([\d.]+) ms$", run.stdout, re.M)
    expect(
        [row[0] for row in rows] == [b"two writes", b"two writes, TCP_NODELAY", b"one write"],
        "there are three rows",
    )
    segments, acknowledgements = ([int(row[i]) for row in rows] for i in (1, 2))
    expect(
        segments == [20, 20, 10], "ten requests are twenty segments, twenty, and ten", otherwise=str(segments)
    )
    expect(
        acknowledgements[0] >= acknowledgements[1] + 5,
        "what the second write waits for is an acknowledgement without data",
        otherwise=str(acknowledgements),
    )
