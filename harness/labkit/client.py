"""Scripted peers over real sockets: they send, expect, half-close and reset, and remember everything."""

from __future__ import annotations

import contextlib
import re
import select
import socket
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from . import kernel
from .last_words import cause_of_hanging_up, reason
from .steps import Cause, CouldNotTell, Failed, difference, show, step
from .waiting import Missed, await_fact, deadline, poll

if TYPE_CHECKING:
    from .program import Program

MANY = 1 << 30
# Bytes that may wait here to be looked at: the harness's memory is as limited as a program's.
KEPT = 256 << 20
_TIMESTAMPS = 35  # SO_TIMESTAMPNS, which Python has no name for; socket(7)
_PROBES = 4  # the timer of a connection that may not send now, kernel.Socket

_made: list[list[Peer]] = []  # the lists that all_peers() is filling


@contextlib.contextmanager
def all_peers() -> Iterator[list[Peer]]:
    """Every peer that is made while the block runs."""
    made: list[Peer] = []
    _made.append(made)
    try:
        yield made
    finally:
        _made.remove(made)


class Conversation(NamedTuple):
    """What one end of a connection saw, for a timeline."""

    name: str
    port: int
    events: list[tuple[float, str]]


class Peer:
    """One end of a TCP connection with the judged program. `name` is what the steps call it."""

    def __init__(
        self, connection: socket.socket, name: str, program: Program, since: float | None = None
    ) -> None:
        self.name = name
        self.program = program
        program.clients.append(self)
        self.socket = connection
        self.socket.setblocking(False)
        self.local: kernel.End = connection.getsockname()[:2]
        self.remote: kernel.End = connection.getpeername()[:2]
        self.local_port = self.local[1]
        self.came_of_file = 0  # bytes, of the one that expect_file waits for
        self.sent = bytearray()
        self.received = bytearray()
        self.taken = 0  # bytes that were expected and came
        self.eof = False
        self._half_closed = False
        self._given = 0  # bytes, to the kernel
        self.error: OSError | None = None  # ECONNRESET, mostly
        self._said = len(program.stderr.text)  # what stderr had when it began
        self.events: list[tuple[float, str]] = [(since or time.time(), "connect")]  # for the timeline
        for made in _made:
            made.append(self)

    # --- the wire

    def _read(self) -> bool:
        """Takes what has arrived, without waiting; 32 MiB at most, so that a fast sender gets no hold of us.

        Returns whether the connection has ended. Throws Failed when far more has come than anybody expects.
        """
        if len(self.received) - self.taken > KEPT:
            raise Failed(
                f"more than {KEPT >> 20} MiB came that nobody asked for", rung="bytes", cause="floods"
            )
        for _ in range(32):
            if self.eof or self.error is not None:
                break
            try:
                chunk = self.socket.recv(1 << 20)
            except BlockingIOError:
                break
            except OSError as error:
                self.error = error
                self._note(error.strerror or "error")
                break
            # Nagle's algorithm has the sender wait for this; delayed, it takes 40 ms each time.
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            self.received += chunk
            self.program.came += len(chunk)
            self.eof = not chunk
            self._note(f"gets {len(chunk)}" if chunk else "EOF")
        return self.eof or self.error is not None

    def _write(self, data: memoryview) -> int:
        try:
            count = self.socket.send(data, socket.MSG_NOSIGNAL)
            self._given += count
            self._note(f"sends {count}")
            return count
        except BlockingIOError:
            return 0
        except OSError as error:
            self._read()  # what came before the end can still be read
            self.error = error
            return len(data)  # there is nobody to send the rest to

    def _note(self, what: str) -> None:
        if len(self.events) < 1000:
            self.events.append((time.time(), what))

    # --- doing things

    def send(self, data: bytes, cause: Cause = None) -> None:
        """Sends all of it, reading meanwhile what comes back."""
        with step(f"{self.name} sends {show(data)}") as current:
            rest = memoryview(data)
            self.sent += data
            begin = time.monotonic()

            def gone() -> bool:
                nonlocal rest
                while rest and (count := self._write(rest)):
                    rest = rest[count:]
                    self._read()
                self._read()
                return not rest

            while rest:
                before = len(rest)
                try:
                    await_fact(lambda: gone() or len(rest) < before)
                except Missed:
                    current.outcome = (
                        f"{len(rest)} bytes are not taken after {time.monotonic() - begin:.1f} s"
                    )
                    raise self._silence(cause) from None

    def send_unread(self, data: bytes) -> int:
        """Sends as much as is taken while reading nothing; returns how many bytes that was.

        It ends when all is sent, or when the program and its kernel buffers take no more: the program then
        sleeps, or has taken nothing for as long as anything may take.
        """
        with step(f"{self.name} sends up to {len(data)} bytes and reads nothing") as current:
            rest = memoryview(data)
            still = 0
            last = time.monotonic()
            while rest and still < 20 and self.error is None and time.monotonic() < last + deadline():
                _, writable, _ = select.select([], [self.socket], [], 0.01)
                count = self._write(rest) if writable else 0
                rest = rest[count:]
                last = time.monotonic() if count else last
                asleep = all(
                    kernel.state(member) in ("S", "T", "Z") for member in kernel.family(self.program.pid)
                )
                still = still + 1 if not count and asleep else 0
            taken = len(data) - len(rest)
            self.sent += data[:taken]
            current.outcome = f"{taken} bytes were taken"
            return taken

    def send_urgent(self, byte: bytes) -> None:
        """Sends one byte out of band; MSG_OOB, tcp(7)."""
        with step(f"{self.name} sends {show(byte)} as urgent data"):
            self._note("sends 1, urgent")
            self._given += self.socket.send(byte, socket.MSG_OOB | socket.MSG_NOSIGNAL)

    def half_close(self) -> None:
        """Says that no more will be sent (shutdown), and goes on reading."""
        self._half_closed = True
        with step(f"{self.name} half-closes"), contextlib.suppress(OSError):
            self._note("half-close")
            self.socket.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Hangs up; with bytes unread this is a reset, as the kernel has it."""
        with step(f"{self.name} hangs up"):
            self._note("close")
            self.socket.close()

    def reset(self) -> None:
        """Sends RST: SO_LINGER 0 and close; socket(7)."""
        with step(f"{self.name} resets the connection (RST)"):
            self._note("reset")
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.socket.close()

    # --- expecting things

    def accepted(self) -> bool | None:
        """Whether the connection has left the accept queue; None if there is none (any more)."""
        return kernel.accepted(self.remote, self.local)

    def on_the_way(self) -> int | None:
        """How many bytes of what was sent the program has not read; None if it has closed the connection."""
        ours, theirs = self.ends()
        if not any(end.inode or self.accepted() is False for end in theirs):
            return None
        unread = sum(end.unread for end in theirs)
        if len(theirs) == 1 and theirs[0].received is not None and not self._half_closed:
            return self._given - theirs[0].received + unread  # an acknowledgement may be 40 ms late
        return sum(end.unsent for end in ours) + unread

    def coming(self) -> int:
        """How many bytes the program has given to the kernel that were not read here yet."""
        ours, theirs = self.ends()
        return sum(end.unread for end in ours) + sum(end.unsent for end in theirs)

    def has_arrived(self) -> int:
        """How many of them are at this end."""
        return sum(end.unread for end in self.ends()[0])

    def ends(self) -> tuple[list[kernel.Socket], list[kernel.Socket]]:
        """The sockets of the connection: this client's, and the program's; each is one, or gone."""
        both = kernel.connection(self.local, self.remote)
        ours = [end for end in both if (end.address, end.port) == self.local]
        return ours, [end for end in both if end not in ours]

    def unread(self) -> bytes:
        """What has come and was not expected yet."""
        self._read()
        return bytes(self.received[self.taken :])

    def expect(self, data: bytes, cause: Cause = None) -> None:
        """Waits for exactly these bytes next."""
        with step(f"{self.name} gets {show(data)}") as current:
            self._await_bytes(len(data), cause, data)
            got = bytes(self.received[self.taken : self.taken + len(data)])
            if got != data:
                raise Failed("other bytes", rung="bytes", cause=cause, details=difference(data, got))
            self.taken += len(data)
            current.outcome = "seen"

    def expect_match(self, pattern: bytes, cause: Cause = None) -> re.Match[bytes]:
        """Waits until what comes next matches the regular expression at its start; takes the match and
        returns it.
        """
        with step(f"{self.name} gets /{pattern.decode('latin-1')}/") as current:

            def matched() -> re.Match[bytes] | bool | None:
                # Asked first: what it sent before its end is read now.
                ended = self.program.status() is not None
                self._read()
                found = re.match(pattern, bytes(self.received[self.taken :]), re.DOTALL)
                return found or self.eof or self.error is not None or ended

            with contextlib.suppress(Missed):
                await_fact(matched)
            match = re.match(pattern, bytes(self.received[self.taken :]), re.DOTALL)
            if match is None:
                if not self.unread():
                    raise self._silence(cause)
                raise Failed(
                    "other bytes", rung="bytes", cause=cause, details=[f"received {show(self.unread(), 200)}"]
                )
            self.taken += match.end()
            current.outcome = "seen"
            return match

    def expect_file(self, path: Path, cause: Cause = None) -> None:
        """Waits for exactly the bytes of this file next, and keeps none: it may be larger than the memory."""
        size = path.stat().st_size
        with step(f"{self.name} gets the {size} bytes of {path.name}") as current, path.open("rb") as file:
            # What has been read already; _arrived() goes on from there.
            rest = bytes(self.received[self.taken :])
            del self.received[self.taken :]
            self.came_of_file = at = 0
            while at < size:
                chunk, rest = rest or self._arrived(min(1 << 20, size - at)), b""
                if not chunk:
                    raise self._silence(cause) if at == 0 else self.program.failure(
                        f"only {at} of {size} bytes came", cause=cause, rung="bytes"
                    )
                wanted = file.read(len(chunk))
                if chunk != wanted:
                    raise Failed(
                        f"other bytes, from {at} on",
                        rung="bytes",
                        cause=cause,
                        details=difference(wanted, chunk),
                    )
                self.came_of_file = at = at + len(chunk)
            current.outcome = "seen"

    def _arrived(self, most: int) -> bytes:
        """Waits for some bytes, and returns them, at most so many; none if the connection ended or nothing
        came.
        """
        chunk = b""

        def some() -> bool:
            nonlocal chunk
            ended = self.program.status() is not None
            try:
                chunk = self.socket.recv(most)
                self.eof = not chunk
            except BlockingIOError:
                return ended
            except OSError as error:
                self.error = error
            return True

        with contextlib.suppress(Missed):
            await_fact(some)
        return chunk

    def expect_eof(self, cause: Cause = None) -> None:
        """Waits for the orderly end of the connection, with nothing more before it.

        cause: of a connection that stays open; {"reset": NAME} of one that is reset.
        """
        with step(f"{self.name} sees the end of the connection") as current:
            with contextlib.suppress(Missed):
                await_fact(lambda: self._read() or len(self.unread()) > 0)
            if self.unread():
                raise Failed(
                    "more bytes came",
                    rung="bytes",
                    cause=cause,
                    details=[f"received {show(self.unread(), 200)}"],
                )
            if self.error is not None:  # a cause without a rung is one of a connection that stays open
                named = cause if isinstance(cause, dict) else None
                said = f"ended by {self.error.strerror}"
                raise self.program.failure(said, cause=named, rung="reset", otherwise="reset_instead")
            if not self.eof:
                raise self.program.failure("the connection stays open", cause=cause)
            current.outcome = "seen"

    def read_to_eof(self, limit: int = MANY, cause: Cause = None) -> bytes:
        """Waits for the end of the connection, orderly or by reset; returns all that came and was not
        expected.
        """
        with step(f"{self.name} reads until the end of the connection") as current:
            while not self.eof and self.error is None:
                before = len(self.received)
                try:
                    await_fact(lambda: self._read() or len(self.received) > before)
                except Missed:
                    raise self._silence(cause) from None
                if len(self.received) - self.taken > limit:
                    raise Failed(f"more than {limit} bytes came", cause=cause)
            data = bytes(self.received[self.taken :])
            self.taken += len(data)
            current.outcome = f"{len(data)} bytes" + (f", then {self.error.strerror}" if self.error else "")
            return data

    def expect_reset(self, cause: Cause = None) -> None:
        """Waits for the connection to be reset by the other side."""
        with step(f"{self.name} sees a reset") as current:
            with contextlib.suppress(Missed):
                await_fact(lambda: self._read())
            if self.error is None:
                raise self.program.failure(
                    "the connection ended in order" if self.eof else "no reset came", cause=cause
                )
            current.outcome = self.error.strerror or "seen"

    def expect_waiting(self) -> None:
        """Waits until the connection is seen to stand in the backlog: complete, and not accepted."""
        with step(f"{self.name} waits in the backlog") as current:
            if self.accepted() is not False:
                raise Failed("it was accepted", details=self.program.evidence())
            current.outcome = "seen"

    def expect_accepted(self, cause: Cause = "never_accepted") -> None:
        """Waits until the program has accepted the connection: a fact of the kernel, no byte is needed."""
        with step(f"{self.name} is accepted") as current:
            try:
                await_fact(self.accepted)
            except Missed as missed:
                raise self.program.failure(
                    f"not in {missed.seconds:.1f} s", cause=cause, rung="accept"
                ) from None
            current.outcome = "seen"

    def expect_read(self, cause: Cause = None) -> None:
        """Waits until the program has read all that was sent, and sleeps again, or has ended.

        A fact of the kernel: it has nothing of it on the way or unread.
        """
        with step(f"{self.program.name} has read all that {self.name} sent") as current:
            try:
                await_fact(
                    lambda: self.program.status() is not None
                    or (not self.on_the_way() and kernel.at_rest(self.program.pid))
                )
            except Missed as missed:
                raise self.program.failure(f"not in {missed.seconds:.1f} s", cause=cause) from None
            current.outcome = "seen"

    def expect_prompt(self, cause: Cause = "reply_held_back") -> None:
        """Waits until a part of the answer is here, and fails if the program waits before it is sent.

        Facts of the kernel: it has read all, sleeps, and has sent nothing; or its kernel keeps the bytes for
        a timer (a probe's, since they fill no segment and none is on its way: MSG_MORE, TCP_CORK).
        """
        with step(f"{self.name} is answered before {self.program.name} waits for more") as current:

            def answered() -> str:
                if self.eof or self.error is not None or self.program.status() is not None:
                    return "ended"
                before = kernel.family_switches(self.program.pid)
                unread = self.on_the_way()
                if unread is None:  # it has closed the connection
                    return "ended"
                rests = not unread and self.program.has_read() and kernel.family_at_rest(self.program.pid)
                ours, theirs = self.ends()
                if len(self.received) > self.taken or any(end.unread for end in ours):
                    return "seen"
                if not rests or self.on_the_way() or before != kernel.family_switches(self.program.pid):
                    return ""
                if any(end.unsent for end in theirs):
                    return "its kernel keeps the answer back" if theirs[0].timer == _PROBES else ""
                return "it waits, and has not answered yet"

            with contextlib.suppress(Missed):
                current.outcome = await_fact(answered)
            if current.outcome not in ("seen", "ended"):
                raise self.program.failure(current.outcome or "nothing came", cause=cause)

    # --- the ladder

    def _await_bytes(self, count: int, cause: Cause, expected: bytes) -> None:
        """Waits until `count` more bytes are there, each new one renewing the patience; climbs the ladder if
        not.
        """

        def enough() -> bool:
            self._read()
            return len(self.received) - self.taken >= count or self.eof or self.error is not None

        while not enough():
            before = len(self.received)
            try:
                await_fact(
                    lambda: enough() or len(self.received) > before or self.program.status() is not None
                )
            except Missed:
                break
            if self.program.status() is not None and not enough():
                break
        got = bytes(self.received[self.taken : self.taken + count])
        if len(got) >= count:
            return
        if not expected.startswith(got):
            raise Failed("other bytes", rung="bytes", cause=cause, details=difference(expected, got))
        if not got:
            raise self._silence(cause)
        failure = self.program.failure(f"only {len(got)} of {count} bytes came", cause=cause, rung="bytes")
        failure.details[:0] = difference(expected, got)
        raise failure

    def _silence(self, cause: Cause) -> Failed:
        """Why nothing came: the first rung that broke, with the check's own cause only for the last one."""
        if self.accepted() is False:
            return self.program.failure(
                "the connection is not accepted", cause=cause, otherwise="never_accepted", rung="accept"
            )
        ended = self.error is not None or self.eof
        if ended:
            poll(self.program.stderr.complete, 1.0)
        said = reason(self.program.stderr.text[self._said :])
        says = f", and {self.program.name} says `{said}`" if said else ""
        named = cause_of_hanging_up(said)
        if ended:
            what = f"the connection ended: {self.error.strerror}" if self.error else "it was closed instead"
            rung = "reset" if self.error else "closed"
            return self.program.failure(what + says, cause=cause, rung=rung, otherwise=named)
        if kernel.cpu_share(self.program.pid) > 0.5:
            return self.program.failure(
                "nothing came, and the program is busy", cause=cause, otherwise="spins", rung="spins"
            )
        if named == "bad_descriptor":  # it is evidence of itself
            cause = named
        failure = self.program.failure(
            f"nothing came{says}", cause=cause, otherwise="no_answer", rung="answer"
        )
        if failure.cause == "no_answer" and not self._half_closed and self.sent:
            self.half_close()
            if poll(lambda: self.unread() or self.eof or self.error is not None, 1.0) and self.unread():
                failure.cause = "answers_at_the_end"
                failure.what = "nothing came before it half-closed"
        return failure


def converse(
    peers: Sequence[Peer], reply: Callable[[Peer, bytes], bytes | None], what: str, cause: Cause = None
) -> None:
    """Talks with all peers at once, line by line, a step `what`: each line that one gets (without its
    newline) goes to `reply`, which returns the bytes that this peer sends next, or None when it has no more
    to say.
    """
    with step(what, quiet=True):
        talking = {peer.socket.fileno(): peer for peer in peers}
        arrivals = select.poll()
        for descriptor in talking:
            arrivals.register(descriptor, select.POLLIN)
        ready = list(talking)  # some may have read already what they get
        while True:
            for descriptor in ready:
                peer = talking[descriptor]
                peer._read()
                while (end := peer.received.find(b"\n", peer.taken)) >= 0:
                    line = bytes(peer.received[peer.taken : end])
                    peer.taken = end + 1
                    answer = reply(peer, line)
                    if answer is None:
                        arrivals.unregister(descriptor)
                        del talking[descriptor]
                        break
                    peer.send(answer)
                else:
                    if peer.eof or peer.error is not None:
                        raise peer._silence(cause)
            if not talking:
                return
            try:
                ready = [
                    descriptor for descriptor, _ in arrivals.poll(10) or await_fact(lambda: arrivals.poll(0))
                ]
            except Missed:
                raise next(iter(talking.values()))._silence(cause) from None


def _stamped(more: list[tuple[int, int, bytes]]) -> float:
    """The time at which the kernel got a datagram, by what came with it."""
    for _, kind, data in more:
        if kind == _TIMESTAMPS:
            seconds, nanoseconds = struct.unpack("ll", data[: struct.calcsize("ll")])
            return float(seconds + nanoseconds / 1e9)
    return time.time()


class Datagrams:
    """A UDP socket of the harness's own, connected to the judged program or free (port None)."""

    def __init__(
        self,
        name: str,
        program: Program | None,
        port: int | None,
        address: str = "127.0.0.1",
        bound: int = 0,
    ) -> None:
        """port: to which it is connected. bound: its own, where it is not connected; 0 for any."""
        self.name = name
        self.program = program
        self.came_at = 0.0  # when the last one that was taken came, in seconds, by the kernel's clock
        self.socket = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.SOL_SOCKET, _TIMESTAMPS, 1)
        if port is None:
            self.socket.bind((address, bound))
        else:
            self.socket.connect((address, port))
        self.port: int = self.socket.getsockname()[1]

    def send(self, data: bytes, to: int | None = None) -> None:
        """Sends one datagram, to port `to` of loopback or where the socket is connected to."""
        with step(f"{self.name} sends the datagram {show(data)}"), contextlib.suppress(
            ConnectionRefusedError
        ):
            self.socket.send(data) if to is None else self.socket.sendto(data, ("127.0.0.1", to))

    def take(self, what: str, cause: Cause = None) -> tuple[bytes, int]:
        """Waits for the next datagram, told as `what`; returns it and its sender's port."""
        with step(f"{self.name} gets {what}") as current:
            arrived: list[tuple[bytes, int]] = []

            def received() -> bool:
                ended = self.program is not None and self.program.status() is not None
                # Refused: the program's end says more.
                with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                    data, more, _, sender = self.socket.recvmsg(1 << 16, 256)
                    arrived.append((data, sender[1]))
                    self.came_at = _stamped(more)
                return bool(arrived) or ended

            with contextlib.suppress(Missed):
                await_fact(received)
            if not arrived:
                if self.program is None:
                    raise Failed("nothing came", rung="answer", cause=cause, otherwise="no_datagram")
                raise self.program.failure(
                    "nothing came", rung="answer", cause=cause, otherwise="no_datagram"
                )
            current.outcome = show(arrived[0][0])
            return arrived[0]

    def waiting(self) -> bool:
        """Whether a datagram has come that was not taken yet."""
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            self.socket.recv(1, socket.MSG_PEEK)
            return True
        return False

    def expect(self, data: bytes, cause: Cause = None) -> int:
        """Waits for exactly this datagram next; returns its sender's port."""
        got, sender = self.take(f"the datagram {show(data)}", cause)
        if got != data:
            raise Failed("another datagram", rung="bytes", cause=cause, details=difference(data, got))
        return sender

    def close(self) -> None:
        self.socket.close()


class Listener:
    """A listening socket of the harness's own, for programs that are clients."""

    def __init__(self, address: str = "127.0.0.1", port: int = 0) -> None:
        """Throws CouldNotTell if the address has this port already."""
        try:
            self.socket = socket.create_server(
                (address, port), family=socket.AF_INET6 if ":" in address else socket.AF_INET
            )
        except OSError as error:
            raise CouldNotTell(f"port {port} of {address} is not to be had: {error.strerror}") from None
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    def accept(self, name: str, program: Program, cause: Cause = None) -> Peer:
        """Waits for the program to connect; returns the harness's end of the connection."""
        with step(f"{program.name} connects to {name}") as current:
            found: list[socket.socket] = []

            def accepted() -> bool:
                ended = program.status() is not None
                with contextlib.suppress(BlockingIOError):
                    found.append(self.socket.accept()[0])
                return bool(found) or ended

            with contextlib.suppress(Missed):
                await_fact(accepted)
            if not found:
                raise program.failure("no connection came", cause=cause)
            current.outcome = "seen"
            return Peer(found[0], name, program)

    def close(self) -> None:
        self.socket.close()
