"""A program that listens, and the clients that are made for it."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator

from . import kernel
from .client import Peer
from .last_words import evident_cause, last_words
from .program import Program, raise_if_unwritten
from .steps import Cause, CouldNotTell, Failed, difference, expect, step
from .waiting import Missed, await_fact

ANOTHER_ADDRESS = "127.0.0.2"  # of this machine alone, too, and no server's default


class Server(Program):
    """A program that listens: clients are made from it. `ports` are those it was seen to listen on."""

    serves = True
    ports: list[int]
    address: str
    open_to: list[str]  # the addresses as the kernel has them

    @property
    def port(self) -> int:
        return self.ports[0]

    def note_listeners(
        self,
        sockets: Callable[[int], list[kernel.Socket]],
        told: bool,
        asked: tuple[str, int] = ("", 0),
        taken: str = "address_in_use",
    ) -> None:
        """Finds where it listens or receives, by what `sockets` returns for its PID. Throws Failed if it does
        not.

        told: it has to say so, on stdout. asked: the address and the port that it was told, "" and 0 if none.
        taken: the likely cause if bind says that the address is in use.
        """
        found = sockets(self.pid)
        if not found:
            if self.status() is not None:
                self.asked_to_end = True
                self.stdout.finish()
                self.stderr.finish()
                # If somebody is left who can print, a process of its own, the line may be from there.
                printed = self.stdout.text if self.stdout.over() else ""
                self._explain_last_words()
                raise_if_unwritten(self.stderr.text)
                words = last_words(self.stderr.text)
                if words.endswith(os.strerror(errno.EADDRINUSE)) and not _has_free_port():
                    raise CouldNotTell("every port of this machine is taken")
                cause = _cause_of_early_end(self.status() or 0, printed, self.stderr.text)
                cause = taken if cause == "address_in_use" else cause
                what = "it has ended" + (f", saying `{words}`" if words else "")
                raise Failed(what, rung="exited", cause=cause, details=self.evidence())
            raise Failed("it does not listen", rung="listen", cause="not_listening", details=self.evidence())
        seen = 0
        while seen < len(found):  # one that listens at several ports may be about to open the next
            seen = len(found)
            if told:
                with contextlib.suppress(Missed):
                    await_fact(lambda: self.stdout.text.count("\n") >= seen or self.status() is not None)
            # A UDP socket that is being connected to a peer was there for a moment.
            found = sockets(self.pid) or found
        _expect_asked(found, *asked, each=sockets is kernel.listening)
        self.ports = [entry.port for entry in found]
        self.open_to = [entry.address for entry in found]
        self.address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found[0].address, found[0].address)
        spelled = [
            f"listening on [{s.address}]:{s.port}"
            if ":" in s.address
            else f"listening on {s.address}:{s.port}"
            for s in found
        ]
        lines = self.stdout.text.splitlines()[: len(spelled)]
        if told and sorted(lines) != sorted(spelled):
            details = difference("\n".join(spelled).encode(), "\n".join(lines).encode())
            what = "it listens, and says something else"
            other_order = [
                line.rpartition(":")[0] + f":{_exchanged(s.port)}" for line, s in zip(spelled, found)
            ]
            swapped = sorted(lines) == sorted(other_order)
            cause = "port_told_in_network_order" if swapped else "wrong_first_line"
            raise Failed(what, rung="listen", cause=cause, details=details)

    def expect_private(self) -> None:
        """Without -a it listens on the loopback, which no other machine can reach."""
        expect(
            set(self.open_to) == {"127.0.0.1"},
            f"{self.name} listens at 127.0.0.1 alone",
            otherwise=", ".join(self.open_to),
            cause="open_to_the_network",
        )

    def expect_logged(self, word: str, peer: Peer, cause: Cause = "other_log") -> None:
        """Waits until the log has the line `word HOST:PORT` for this client; `word` is connected or
        disconnected.
        """
        host, port = peer.local
        shown = f"[{host}]" if ":" in host else host

        def logged(number: int) -> bool:
            return f"{word} {shown}:{number}" in self.stdout.text.splitlines()

        with step(f"{self.name} logs `{word} {shown}:{port}`, which is {peer.name}") as current:
            with contextlib.suppress(Missed):
                await_fact(lambda: logged(port) or self.status() is not None)
            if not logged(port):
                named = "port_told_in_network_order" if logged(_exchanged(port)) else cause
                last = "; ".join(self.stdout.text.splitlines()[-3:])
                raise self.failure(f"the log ends in: {last}" if last else "the log is empty", cause=named)
            current.outcome = "seen"

    @contextlib.contextmanager
    def expect_disturbed(self, fault: str, *clients: Peer, blocking: str = "") -> Iterator[None]:
        """Fails if at the end of the block no call for one of these clients, who are connected when it
        begins, has failed so (unotify.py). blocking: the cause if a send for it may block.
        """
        assert self.disturbance is not None and self.disturbance.answers is not None
        answers, sockets = self.disturbance.answers, {}
        for client in clients:
            client.expect_accepted()
            sockets[client.name] = [end.inode for end in client.ends()[1]]
        yield
        for name, inodes in sockets.items():
            if any(answers.count(fault, inode) for inode in inodes):
                continue
            if blocking and answers.may_block.intersection(inodes):
                raise Failed(f"a send for {name} may block", cause=blocking)
            raise Failed(f"what it does for {name} was never seen to fail", cause="not_disturbed")

    def expect_serves_itself(self, peer: Peer) -> None:
        """The server has the connection, and no other process: what is seen of it is seen of who serves.

        A fact of the kernel; the peer has to be connected still.
        """
        with step(f"{self.name} itself, and no other process, has the connection of {peer.name}") as current:
            peer.expect_accepted()
            _, theirs = peer.ends()
            others = {member for end in theirs for member in kernel.holders(end.inode)} - {self.pid}
            if others or not theirs:
                rows = [row for member in sorted(others) for row in kernel.table(member)]
                raise Failed("another process has it, too", cause="served_by_another", details=rows)
            current.outcome = "seen"

    def expect_port_kept(self, *options: int, cause: Cause = None) -> None:
        """Its sockets with a port have none of these options, with which others can have the same port."""
        with step(f"{self.name} lets nobody else have its port") as current:
            looked_at = True
            own = {f"socket:[{one.inode}]" for one in kernel.own_sockets(self.pid) if one.port in self.ports}
            for number, name in self.descriptors().items():
                if name not in own:
                    continue
                try:
                    shared = any(any(kernel.socket_option(self.pid, number, option)) for option in options)
                except OSError:  # a machine that does not let the harness look
                    looked_at = False
                    continue
                if shared:
                    raise self.failure("its socket allows that (SO_REUSEADDR, SO_REUSEPORT)", cause=cause)
            current.outcome = "seen" if looked_at else "may not be looked at"

    def connect(self, name: str, port: int | None = None, receive_buffer: int = 0, segment: int = 0) -> Peer:
        """Connects a client; `name` is what the steps call it. receive_buffer: bytes, for a client that is to
        be slow. segment: bytes at most in one segment (TCP_MAXSEG): for small ones the kernel has less room.
        """
        with step(f"{name} connects"):
            begin = time.time()
            return Peer(self._socket(port, receive_buffer, segment), name, self, begin)

    def connect_all(self, *names: str) -> list[Peer]:
        """Connects several clients, in this order: one step."""
        with step(f"{', '.join(names)} connect" if len(names) < 9 else f"{len(names)} clients connect"):
            return [Peer(self._socket(None, 0), name, self, time.time()) for name in names]

    def crowd(self, most: int) -> list[Peer]:
        """Connects `most` clients, or as many as the harness may have descriptors for: one step."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(most, hard - 200)
        with step(f"{count} clients connect"):
            return [Peer(self._socket(None, 0), f"client {number}", self) for number in range(1, count + 1)]

    def errno_of_client(self, name: str) -> int:
        """Connects a client that only reads; returns the errno with which connect or recv fails, 0 if neither
        does.

        For a server that resets at once: the reset may come before the client has looked at its new
        connection.
        """
        with step(f"{name} connects and reads") as current, socket.socket() as client:
            client.setblocking(False)
            client.connect_ex((self.address, self.port))
            number = 0

            def ended() -> bool:
                nonlocal number
                try:
                    client.recv(1)
                except BlockingIOError:
                    return False
                except OSError as error:
                    number = error.errno or 0
                return True

            try:
                await_fact(ended)
            except Missed:
                raise self.failure("nothing came, not even an end") from None
            current.outcome = os.strerror(number) if number else "no error"
            return number

    def expect_all_logged_gone(self, cause: Cause = "wrong_name_in_log") -> None:
        """Waits until the log says of each client that has connected that it has disconnected; once, and by
        the same address. To be called when all clients have gone.
        """

        def log() -> tuple[Counter[str], Counter[str]]:
            lines = re.findall(r"^(connected|disconnected) (\S+)\n", self.stdout.text, re.MULTILINE)
            came = Counter(address for word, address in lines if word == "connected")
            return came, Counter(address for word, address in lines if word == "disconnected")

        def unlogged() -> list[str]:
            came = log()[0]
            ends = (client.local for client in self.clients if isinstance(client, Peer))
            names = (f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in ends)
            return [name for name in names if name not in came]

        def all_gone() -> bool:
            came, gone = log()
            told = came.total() <= gone.total() and not unlogged()
            return told or self.status() is not None

        with step("the log says of each client that has connected, once, that it has gone") as current:
            with contextlib.suppress(Missed):
                await_fact(all_gone)
            came, gone = log()
            if came != gone or unlogged():
                too_many, missing = sorted((gone - came).elements()), sorted((came - gone).elements())
                words = [
                    f"{text}: {', '.join(some[:3])}{' …' if len(some) > 3 else ''}"
                    for text, some in (
                        ("is said too often to have gone", too_many),
                        ("is not", missing),
                        ("is not said to have come", unlogged()),
                    )
                    if some
                ]
                raise self.failure("; ".join(words), cause=cause)
            current.outcome = f"of {came.total()}"

    def _socket(self, port: int | None, receive_buffer: int, segment: int = 0) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if segment:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, segment)
        client.setblocking(False)
        client.connect_ex((self.address, port or self.port))
        try:
            await_fact(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _connected(client))
        except Missed:
            full = any(listener.unread for listener in kernel.listening(self.pid))
            what = "no connection: the handshake is not completed"
            raise self.failure(what, rung="connect", cause="backlog_full" if full else None) from None
        if not _connected(client):
            raise self.failure("the connection is refused", rung="connect")
        return client


def _exchanged(port: int) -> int:
    """The port whose two bytes are those of this one in the other order."""
    return port % 256 * 256 + port // 256


def _expect_asked(found: list[kernel.Socket], address: str, port: int, each: bool) -> None:
    """Throws Failed if it listens at another address or port than it was told; "" and 0 are any. each: each
    socket has to have the address, and not only one of them."""
    ports = [entry.port for entry in found]
    if port and port not in ports:
        swapped = _exchanged(port) in ports
        what = f"asked for port {port}, it listens at {', '.join(map(str, ports))}"
        raise Failed(
            what + (": the two bytes are exchanged" if swapped else ""),
            rung="listen",
            cause="port_not_in_network_order" if swapped else "port_ignored",
        )
    elsewhere = [entry.address for entry in found if entry.address != address]
    if address and len(elsewhere) >= (1 if each else len(found)):
        what = f"asked for {address}, it listens at {elsewhere[0]}"
        raise Failed(what, rung="listen", cause="address_ignored")


def _cause_of_early_end(status: int, stdout: str, stderr: str) -> str:
    """The likely cause of the end of a server that does not listen (any more)."""
    if status < 0:
        return "crashed"
    named = evident_cause(stderr)
    if named not in ("ended_with_reason", "ended_unasked"):
        return named
    if "listening on" not in stdout:
        return "exited_early"
    return named if status else "ended_too_early"


def _has_free_port() -> bool:
    """Whether a known-good program gets a port of the kernel's choice."""
    with contextlib.suppress(OSError), socket.socket() as tried:
        tried.bind(("127.0.0.1", 0))
        return True
    return False


def _connected(client: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        client.getpeername()
        return True
    return False
