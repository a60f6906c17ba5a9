"""A known-good upper server of the harness's own, for programs that are its clients."""

from __future__ import annotations

import fcntl
import socket
import termios
import threading

_PIECE = 1 << 16


class Upper:
    """Serves one client after the other in a thread, until the harness ends."""

    def __init__(self) -> None:
        self.moved = 0  # bytes that it has received and sent
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sending: socket.socket | None = None
        threading.Thread(target=self._serve, daemon=True).start()

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
            rest = memoryview(chunk.upper())
            while rest:
                self._sending = client
                sent = client.send(rest, socket.MSG_NOSIGNAL)
                self._sending = None
                self.moved += sent
                rest = rest[sent:]

    def close(self) -> None:
        """Refuses new clients."""
        self._listener.close()
