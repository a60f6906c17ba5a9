"""The machine's sockets by netlink; sock_diag(7). /proc/net/tcp writes a line for each connection that was
closed within the last minute, which takes a hundred times as long after a test with ten thousand clients.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY = 4, 20
_REQUEST, _DUMP = 1, 0x300  # NLM_F_…, netlink(7)
_ERROR, _DONE = 2, 3  # NLMSG_…

_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr
_ASKED = struct.Struct("=BBBxI")  # struct inet_diag_req_v2, up to the ends
_ENDS = struct.Struct(">HH16s16s4x8s")  # struct inet_diag_sockid
_NO_COOKIE = b"\xff" * 8  # INET_DIAG_NOCOOKIE
_TOLD = struct.Struct("=4B48s5I")  # struct inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: its length with this header, and its type
_INFO = 2  # INET_DIAG_INFO: a struct tcp_info follows
_BYTES_RECEIVED = 128  # where it has tcpi_bytes_received, a u64; linux/tcp.h

# States, a bit each, as in tcp_states.h; LISTEN is asked for without a walk through the connections.
ALL = 0xFFFFFFFF
OPEN = ALL & ~(1 << 6)  # all but TIME_WAIT
LISTEN = 1 << 10


@dataclass(frozen=True)
class Row:
    """What the kernel tells of one socket. Addresses are packed; unread, of a listener: its accept queue."""

    address: bytes
    port: int
    peer_address: bytes
    peer_port: int
    state: int
    timer: int
    unsent: int
    unread: int
    inode: int
    received: int | None = None  # bytes that have arrived in all, read or not; find() tells it


class Unavailable(Exception):
    """This kernel does not answer such questions."""


def dump(family: int, protocol: int, states: int = ALL) -> list[Row]:
    """Returns the sockets of this process's network; states: a bit for each that is wanted. Throws
    Unavailable.
    """
    with _answers(
        _REQUEST | _DUMP,
        _ASKED.pack(family, protocol, 0, states) + _ENDS.pack(0, 0, b"", b"", _NO_COOKIE),
    ) as rows:
        return list(rows)


def find(family: int, protocol: int, own: tuple[bytes, int], peer: tuple[bytes, int]) -> Row | None:
    """Returns the one socket with these two ends, each a packed address and a port; None if there is none.

    A dump walks through all of the kernel's table, which takes milliseconds; this takes microseconds. Throws
    Unavailable.
    """
    asked = _ASKED.pack(family, protocol, 1 << (_INFO - 1), ALL)
    asked += _ENDS.pack(own[1], peer[1], own[0], peer[0], _NO_COOKIE)
    with _answers(_REQUEST, asked) as rows:
        row = next(rows, None)
    return row if row is not None and row.peer_port == peer[1] else None  # it may be the listener


@contextlib.contextmanager
def _answers(flags: int, asked: bytes) -> Iterator[Iterator[Row]]:
    """Asks the kernel. Throws Unavailable, also while the rows are read."""
    message = _HEADER.pack(_HEADER.size + len(asked), _SOCK_DIAG_BY_FAMILY, flags, 1, 0) + asked
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
            kernel.send(message)
            yield _rows(kernel)
    except OSError as error:
        raise Unavailable(str(error)) from None


def _rows(kernel: socket.socket) -> Iterator[Row]:
    while True:
        answer = kernel.recv(1 << 16)
        at = 0
        while at < len(answer):
            size, kind, *_ = _HEADER.unpack_from(answer, at)
            if kind == _DONE:
                return
            if kind == _ERROR:
                (number,) = struct.unpack_from("=i", answer, at + _HEADER.size)
                if -number == errno.ENOENT:  # there is no such socket
                    return
                raise OSError(-number, "sock_diag")
            told = _TOLD.unpack_from(answer, at + _HEADER.size)
            family, state, timer, _, ends, _, unread, unsent, _, inode = told
            length = 4 if family == socket.AF_INET else 16
            port, peer_port, address, peer_address, _ = _ENDS.unpack(ends)
            yield Row(
                address[:length],
                port,
                peer_address[:length],
                peer_port,
                state,
                timer,
                unsent,
                unread,
                inode,
                _received(answer[at + _HEADER.size + _TOLD.size : at + size]),
            )
            at += (size + 3) & ~3


def _received(attributes: bytes) -> int | None:
    while len(attributes) >= _ATTRIBUTE.size:
        size, kind = _ATTRIBUTE.unpack_from(attributes)
        if kind == _INFO and size >= _ATTRIBUTE.size + _BYTES_RECEIVED + 8:
            (count,) = struct.unpack_from("=Q", attributes, _ATTRIBUTE.size + _BYTES_RECEIVED)
            return int(count)
        attributes = attributes[max((size + 3) & ~3, _ATTRIBUTE.size) :]
    return None


def is_available() -> bool:
    """Whether the kernel answers here: its modules tcp_diag and udp_diag may be missing."""
    with contextlib.suppress(Unavailable):
        for protocol in (socket.IPPROTO_TCP, socket.IPPROTO_UDP):
            dump(socket.AF_INET, protocol, 0)
        return True
    return False
