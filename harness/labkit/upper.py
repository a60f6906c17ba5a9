"""Servers of the harness's own, for programs that are their clients. A reply is as long as its request, and
its letters are drawn: no client can know it that was not sent it.
"""

from __future__ import annotations

import fcntl
import random
import socket
import string
import termios
import threading
from collections.abc import Iterable

_PIECE = 1 << 16
_LETTERS = string.ascii_uppercase.encode()


def _drawn(some: Iterable[int]) -> bytes:
    """A table for bytes.translate(): for each of these bytes a capital letter, and not its own."""
    draw = random.SystemRandom()
    table = bytearray(range(256))
    for byte in some:
        table[byte] = draw.choice([letter for letter in _LETTERS if letter != byte & ~32])
    return bytes(table)


class Upper:
    """Serves one client after the other in a thread, until the harness ends: for clients of the upper
    service.
    """

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.moved = 0  # bytes that it has received and sent
        self.address = address
        self._table = _drawn((string.ascii_lowercase + string.digits).encode())
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        self._listener = socket.create_server((address, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._sending: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

    def reply(self, request: bytes) -> bytes:
        """What it answers to these bytes."""
        return request.translate(self._table)

    def both_send(self) -> bool:
        """Whether it waits in send while bytes of its client wait to be received: neither side reads."""
        client = self._sending
        if client is None:
            return False
        try:
            unread = int.from_bytes(fcntl.ioctl(client, termios.FIONREAD, bytes(4)), "little")
        except (OSError, ValueError):
            return False
        return unread > 0

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with client:
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    self._answer(client)
                except OSError:  # the client has gone
                    pass

    def _answer(self, client: socket.socket) -> None:
        while chunk := client.recv(_PIECE):
            self.moved += len(chunk)
            rest = memoryview(self.reply(chunk))
            while rest:
                self._sending = client
                sent = client.send(rest, socket.MSG_NOSIGNAL)
                self._sending = None
                self.moved += sent
                rest = rest[sent:]

    def close(self) -> None:
        """Refuses new clients."""
        self._listener.close()


class UpperDatagrams:
    """Answers each datagram to its sender in a thread, until the harness ends. Digits and blanks stay: with
    its number a request has a reply of the same number.
    """

    def __init__(self) -> None:
        self._table = _drawn(string.ascii_lowercase.encode())
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def reply(self, request: bytes) -> bytes:
        """What it answers to these bytes."""
        return request.translate(self._table)

    def _serve(self) -> None:
        while True:
            request, sender = self._socket.recvfrom(1 << 16)
            try:
                self._socket.sendto(self.reply(request), sender)
            except OSError:  # the sender has gone
                pass
