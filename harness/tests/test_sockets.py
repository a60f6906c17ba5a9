"""The kernel tells of sockets in two ways: by netlink, and in /proc where there is no netlink."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import replace

import pytest

from labkit import kernel, sock_diag

pytestmark = pytest.mark.skipif(not sock_diag.is_available(), reason="no sock_diag(7) here")


def both(kind: str, wanted: Callable[[kernel.Socket], bool]) -> list[kernel.Socket]:
    """What both ways tell of these sockets, which is the same."""
    by_netlink, by_proc = (
        sorted(filter(wanted, kernel.sockets(kind, by_netlink=way)), key=repr) for way in (True, False)
    )
    assert by_netlink == by_proc
    return by_netlink


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_a_connection_is_told_alike(address: str) -> None:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    kind = "tcp6" if ":" in address else "tcp"
    with socket.create_server((address, 0), family=family) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection((address, port)) as client:
            client.sendall(b"seven..")
            rows = both(kind, lambda entry: port in (entry.port, entry.peer_port))
            states = sorted((entry.status, entry.unread, bool(entry.inode)) for entry in rows)
            assert states == [("ESTABLISHED", 0, True), ("ESTABLISHED", 7, False), ("LISTEN", 1, True)]
            number: int = client.getsockname()[1]
            ends = ((address, port), (address, number))
            found = kernel.connection(*ends)
            assert [(entry.port, entry.received) for entry in found] == [(port, 7), (number, 0)]
            by_proc = kernel.connection(*ends, by_netlink=False)
            assert {replace(entry, received=None) for entry in found} == set(by_proc)
            assert not kernel.connection((address, port), (address, 1))
    rows = both(kind, lambda entry: port in (entry.port, entry.peer_port))
    assert all(entry.status == "TIME_WAIT" for entry in rows)
    assert not [entry for entry in kernel.sockets(kind, sock_diag.OPEN) if entry.port == port]


def test_a_client_of_a_listener_for_both_families_is_found() -> None:
    with socket.create_server(("", 0), family=socket.AF_INET6, dualstack_ipv6=True) as listener:
        port: int = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            ends = (("127.0.0.1", port), client.getsockname())
            found = [replace(entry, received=None) for entry in kernel.connection(*ends)]
            assert len(found) == 2
            assert sorted(found, key=repr) == sorted(kernel.connection(*ends, by_netlink=False), key=repr)
            both("tcp6", lambda entry: entry.port == port)


def test_datagrams_that_wait_are_told_alike() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.sendto(b"to itself", server.getsockname())
        port: int = server.getsockname()[1]
        (row,) = both("udp", lambda entry: entry.port == port)
        assert row.unread > 0 and row.status == "NONE" and row.inode
