"""Datagrams as lab 3 tells of them."""

from __future__ import annotations

import os
import select
import socket

import pytest
from fact_tools import alone, error_of, setting, status_of, wait_until


def bound(address: str = "127.0.0.1", port: int = 0, reuse: int = 0) -> socket.socket:
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    one.bind((address, port))
    return one


def nothing(one: socket.socket) -> bool:
    return not select.select([one], [], [], 0)[0]


@alone(network=True)
def test_connect_fails_where_no_route_leads() -> None:
    """lab03#connected: the connect of a UDP socket fails if the kernel knows no way to the address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        assert error_of(lambda: client.connect(("203.0.113.1", 4444))) == "ENETUNREACH"


def test_connect_sends_nothing_and_succeeds_without_a_server() -> None:
    """lab03#connected: connect asks no other host, so it succeeds even if there is no server."""
    with bound() as server, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(server.getsockname())
        assert nothing(server)
        server.close()
        client.connect(client.getsockname())


def test_what_does_not_fit_into_the_buffer_is_discarded() -> None:
    """lab03#truncated: recv returns a part of a datagram, the rest is gone; MSG_TRUNC tells the length."""
    with bound() as server, bound() as client:
        client.sendto(b"x" * 1100, server.getsockname())
        client.sendto(b"next", server.getsockname())
        assert len(server.recv(1024)) == 1024
        assert server.recv(1024) == b"next"
        client.sendto(b"x" * 1100, server.getsockname())
        assert server.recv_into(bytearray(1024), 1024, socket.MSG_TRUNC) == 1100


def test_an_empty_datagram_arrives() -> None:
    """lab03#goodbye: an empty datagram is a datagram like any other; a close sends nothing."""
    with bound() as server, bound() as client:
        client.sendto(b"", server.getsockname())
        assert server.recvfrom(9) == (b"", client.getsockname())
        client.close()
        assert nothing(server)


def test_two_datagrams_never_come_together() -> None:
    """lab03#datagrams: what one call has sent, one call receives."""
    with bound() as server, bound() as client:
        client.sendto(b"start", server.getsockname())
        client.sendto(b"connect", server.getsockname())
        assert [server.recv(99), server.recv(99)] == [b"start", b"connect"]


def test_the_socket_that_was_bound_last_gets_the_datagrams() -> None:
    """lab03#datagrams: with SO_REUSEADDR two sockets bind one port, and the last gets what comes."""
    with bound(reuse=1) as first:
        address = first.getsockname()
        with bound(port=address[1], reuse=1) as last, bound() as client:
            client.sendto(b"hello", address)
            assert (nothing(first), nothing(last)) == (True, False)
            last.close()
            client.sendto(b"hello", address)
            assert first.recv(9) == b"hello"


def test_without_the_option_the_port_is_refused() -> None:
    """lab03#datagrams: without SO_REUSEADDR a second UDP server cannot bind the port."""
    with bound() as server:
        port = server.getsockname()[1]
        assert error_of(lambda: bound(port=port)) == "EADDRINUSE"


def test_only_a_connected_socket_is_told_of_a_refusal() -> None:
    """lab03#refused: an ICMP error goes to the socket that is connected to that address, and to no other."""
    with bound() as gone, bound() as plain, bound() as connected:
        nobody = gone.getsockname()
        gone.close()
        connected.connect(nobody)
        connected.send(b"anybody?")
        assert error_of(lambda: connected.recv(9)) == "ECONNREFUSED"
        plain.sendto(b"anybody?", nobody)
        assert error_of(lambda: plain.recv(9, socket.MSG_DONTWAIT)) == "EAGAIN"


def test_a_connected_socket_discards_the_datagrams_of_others() -> None:
    """lab03#connected: recv returns datagrams of the connected address alone."""
    with bound() as server, bound() as other, bound() as client:
        client.connect(server.getsockname())
        other.sendto(b"FALSE", client.getsockname())
        server.sendto(b"TRUE", client.getsockname())
        assert client.recv(9) == b"TRUE"
        assert nothing(client)


def test_the_largest_datagram_has_65507_bytes() -> None:
    """lab03#truncated: over IPv4 a datagram carries at most 65 507 bytes."""
    with bound() as server, bound() as client:
        client.sendto(bytes(65507), server.getsockname())
        assert len(server.recv(65536)) == 65507
        assert error_of(lambda: client.sendto(bytes(65508), server.getsockname())) == "EMSGSIZE"


def test_a_broadcast_needs_its_option_and_no_capability() -> None:
    """lab03#broadcast: sendto to a broadcast address fails with EACCES until SO_BROADCAST is set."""
    with bound("127.255.255.255") as one, bound() as client:
        there = one.getsockname()
        assert error_of(lambda: client.sendto(b"all", there)) == "EACCES"
        client.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        client.sendto(b"all", there)
        wait_until(lambda: not nothing(one), "the broadcast")
        assert one.recv(9) == b"all"


@alone(user="nobody")
def test_a_raw_socket_needs_a_capability() -> None:
    """lab03#raw: SOCK_RAW needs CAP_NET_RAW; SOCK_DGRAM with ICMP needs a group of ping_group_range."""
    if int(status_of(os.getpid(), "CapEff"), 16) & 1 << 13:
        pytest.skip("has CAP_NET_RAW here")
    assert error_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close()) == "EPERM"
    low, high = map(int, setting("net.ipv4.ping_group_range").split())
    allowed = any(low <= group <= high for group in [os.getegid(), *os.getgroups()])
    seen = error_of(lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP).close())
    assert seen == ("" if allowed else "EACCES")


@alone(network=True)
def test_a_raw_socket_sees_its_own_request_on_loopback() -> None:
    """lab03#raw: a raw socket gets a copy of every packet of its protocol, with the IP header."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as one:
        one.sendto(b"of no protocol", ("127.0.0.1", 0))
        packet = one.recv(99)
    assert (packet[0], packet[9], packet[20:]) == (0x45, 253, b"of no protocol")
