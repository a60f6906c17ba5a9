"""A server for whom the system has no descriptor: what is asked of every accept loop."""

from __future__ import annotations

import re
from collections.abc import Callable

from . import kernel
from .lab import Lab
from .server import Server
from .steps import Cause, expect, step
from .waiting import allowing, wait_until

CAUSES = {
    "spins_when_full": "accept fails at once while the system has no descriptor, and was called again and "
    "again: a whole CPU "
    "is spent on nothing. Wait before the next call.",
    "accept_failed_silently": "accept failed, and nothing was said: the operator does not learn the reason. "
    "Write it to stderr.",
    "accept_failed_noisily": "The same shortage was logged again at each attempt, which fills the disk. Log "
    "it once.",
    "child_needs_one_more": "The log tells the shortage for another call than accept: a child needs a "
    "descriptor "
    "more than there is. Close in the child first what only the parent needs.",
    "ends_when_full": "The server ended because accept failed. A shortage passes: wait, and go on.",
    "never_again": "After the shortage the waiting client was not accepted.",
}
GONE = {
    "stops_at_one_that_has_gone": "accept failed because its client had gone already (ECONNABORTED), and the "
    "next client is not served: that failure concerns one client alone. Call accept again.",
}
REST = 2.0  # seconds that a server may rest after a failed accept, at the most
REASON = "Too many open files"


def expect_told_once(server: Server) -> None:
    """The shortage of which accept tells is told once, and no other call has one."""
    told = [line for line in server.stderr.text.splitlines() if REASON in line]
    others = [line for line in told if ": " in line and "accept" not in line]
    expect(
        len(told) == 1,
        "it says so once",
        otherwise="it says: " + "; ".join(dict.fromkeys(others or told)) + f", {len(told)} lines in all",
        cause="child_needs_one_more" if others and len(others) < len(told) else "accept_failed_noisily",
    )


def spins(server: Server) -> bool:
    """Whether the server or a child of it is busy, or would be if it had a CPU."""
    return not all(kernel.rests(pid) for pid in kernel.family(server.pid))


def goes_on(server: Server) -> None:
    """The shortage has not ended the server."""
    expect(server.status() is None, "the server goes on", otherwise="it has ended", cause="ends_when_full")


def tries_again(server: Server) -> None:
    """The server, for which each accept fails, has tried it twice."""
    assert server.disturbance is not None
    failed = server.disturbance.count
    wait_until(lambda: failed("accept") >= 2, "it has tried again", cause="never_again")


def rests(server: Server) -> None:
    """Its client ann has gone, and there is no descriptor for the next: it says why, sleeps, and lives on."""
    wait_until(lambda: "disconnected" in server.stdout.text or server.status() is not None, "ann is gone")
    server.expect_idle(cause="spins_when_full")
    for child in server.children():
        server.expect_idle(cause="spins_when_full", child=child)
    wait_until(
        lambda: REASON in server.stderr.text or server.status() is not None,
        f"stderr says {REASON!r}",
        cause="accept_failed_silently",
    )
    wait_until(lambda: kernel.family_at_rest(server.pid) or server.status() is not None, "the server rests")
    goes_on(server)


def rests_when_accept_fails(lab: Lab, name: str, *arguments: str, request: bytes, reply: bytes) -> Server:
    """The server says once that it has no descriptor, rests, and serves the client that waits when there is
    one again. Returns it: one accept has failed, one client was served, and it has ended.
    """
    resting = lab.server(name, *arguments, faults={"accepts": 1})
    cat = resting.connect("cat")  # who waits while the other server is looked at
    cat.send(request)
    server = lab.server(name, *arguments, faults={"accept": 2})
    ann = server.connect("ann")
    ann.send(request)
    # A listener that does not block fails with EAGAIN as long as nobody comes.
    ann.expect(reply, cause=lambda: "spins" if spins(server) else None)
    with server.paused():  # one that ends because of the shortage has bob in its backlog
        ann.close()
        bob = server.connect("bob")
    rests(server)
    with allowing(REST):
        tries_again(server)
    logged = re.findall(r"^connected .*$", server.stdout.text, re.MULTILINE)
    expect(len(logged) <= 1, "it logs ann, and nobody else", otherwise=", ".join(logged), cause="other_log")
    wait_until(lambda: kernel.family_at_rest(server.pid), "the server rests")
    expect_told_once(server)
    bob.close()
    server.stop()
    with allowing(REST):
        cat.expect(reply, cause={"accept": "never_again"})
    resting.stop()
    rests_without_descriptors(lab, name, *arguments, request=request, reply=reply)
    return resting


def rests_without_descriptors(lab: Lab, name: str, *arguments: str, request: bytes, reply: bytes) -> None:
    """The same by the process's own limit (EMFILE), and not by that of the whole system (ENFILE)."""
    server = lab.server(name, *arguments)
    ann = server.connect("ann")
    ann.send(request)
    ann.expect(reply)
    with server.no_descriptor_left(closing={f"socket:[{end.inode}]" for end in ann.ends()[1]}):
        with server.paused():
            # If it waits in accept for the next one, that one gets the descriptor which is reserved for it.
            bob, cat = server.connect_all("bob", "cat")
            ann.close()
        rests(server)
        cat.expect_waiting()
    bob.close()
    cat.send(request)
    with allowing(REST):
        cat.expect(reply, cause={"accept": "never_again"})
    expect_told_once(server)
    server.stop()


def one_has_gone(server: Server, request: bytes, reply: bytes) -> None:
    """The server was started with {"aborted": 2}: the second of three clients has gone when it is accepted
    (ECONNABORTED). The third one is served.
    """
    for name in ("ann", "bob", "cat"):
        client = server.connect(name)
        if name == "bob":
            client.expect_eof()
        else:
            client.send(request)
            client.expect(reply, cause="stops_at_one_that_has_gone")
        client.close()
    server.stop()


def after_one_that_has_gone(lab: Lab, name: str, *arguments: str) -> Server:
    """Starts a server whose first client has gone when it is accepted (ECONNABORTED), and which goes on."""
    server = lab.server(name, *arguments, faults={"aborted": 1})
    server.connect("who goes before it is accepted").expect_eof()
    return server


def talk_does_not_prolong_it(server: Server, talk: Callable[[], None], request: bytes = b"waits") -> None:
    """A client for whom there was no descriptor is accepted when there is one again, although another client,
    who talks, lets the server never wait for long.
    """
    with server.no_descriptor_left():
        late = server.connect("who comes now")
        late.send(request)
        server.expect_idle(cause="spins_when_full")

    def is_served() -> bytes:
        talk()
        return late.unread()

    with allowing(REST), step("no client leaves, and one of them is never silent", quiet=True):
        wait_until(is_served, "the new client is served", cause="never_again")


def turns_one_away(server: Server, says: str, causes: tuple[Cause, Cause] = (None, None)) -> None:
    """The kernel itself refuses a process or thread to a server that starts one for each client
    (RLIMIT_NPROC): the client that comes then sees its end, and stderr says so.

    causes: the likely ones of a connection that stays open, and of silence.
    """
    if not server.can_be_refused():
        return
    with server.no_process_left():
        eve = server.connect("eve")
        eve.expect_eof(cause=causes[0])
    server.expect_match(says, stream="stderr", cause=causes[1])
