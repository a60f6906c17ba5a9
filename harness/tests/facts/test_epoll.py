"""select, poll and epoll, as labs 5 and 7 tell of them."""

from __future__ import annotations

import ctypes
import os
import select
import socket
import tempfile

import pytest
from fact_tools import error_of, libc, listening, pair, reset, wait_until


def watching(one: socket.socket, events: int) -> select.epoll:
    epoll = select.epoll()
    epoll.register(one, events)
    return epoll


def events_of(epoll: select.epoll) -> int:
    """Returns what epoll reports now of the one descriptor that it watches, 0 for nothing."""
    return sum(events for _, events in epoll.poll(0))


def arrived(sender: socket.socket, receiver: socket.socket, text: bytes) -> None:
    sender.sendall(text)
    wait_until(lambda: bool(select.select([receiver], [], [], 0)[0]), "the bytes")


def test_epoll_forgets_a_descriptor_when_its_last_copy_is_closed() -> None:
    """lab05#epoll: close alone does not take a descriptor from the list while a copy is open."""
    client, server = pair()
    epoll = watching(server, select.EPOLLIN)
    copy = server.dup()
    server.close()
    arrived(client, copy, b"x")
    assert events_of(epoll) == select.EPOLLIN
    copy.close()
    assert events_of(epoll) == 0
    client.close()


def test_with_epollet_an_arrival_reports_epollout_too() -> None:
    """lab05#edges: an arrival reports all that is true at that moment, EPOLLOUT included."""
    client, server = pair()
    epoll = watching(server, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
    assert events_of(epoll) == select.EPOLLOUT
    assert events_of(epoll) == 0
    arrived(client, server, b"x")
    assert events_of(epoll) == select.EPOLLIN | select.EPOLLOUT
    client.close()
    server.close()


def test_an_edge_comes_once_and_is_re_armed_by_mod() -> None:
    """lab05#edges: an edge is reported once; EPOLL_CTL_MOD with the same events reports what is there."""
    client, server = pair()
    edge = watching(server, select.EPOLLIN | select.EPOLLET)
    level = watching(server, select.EPOLLIN)
    arrived(client, server, b"x" * 100)
    assert [events_of(edge), events_of(edge)] == [select.EPOLLIN, 0]
    server.recv(50)
    assert [events_of(edge), events_of(level), events_of(level)] == [0, select.EPOLLIN, select.EPOLLIN]
    edge.modify(server, select.EPOLLIN | select.EPOLLET)
    assert events_of(edge) == select.EPOLLIN
    client.close()
    server.close()


def test_bytes_and_the_end_may_be_one_event() -> None:
    """lab05#edges: the last bytes and the end of file may arrive together and be one event."""
    client, server = pair()
    client.sendall(b"x")
    client.close()
    epoll = watching(server, select.EPOLLIN | select.EPOLLRDHUP | select.EPOLLET)
    wait_until(lambda: server.recv(9, socket.MSG_PEEK) == b"x", "the byte")
    assert events_of(epoll) & select.EPOLLIN
    assert events_of(epoll) == 0
    assert (server.recv(1), server.recv(1)) == (b"x", b"")
    server.close()


def test_between_select_and_accept_another_may_take_the_client() -> None:
    """lab05#readiness: readable is what was true when select looked; another copy of the listener may be
    faster.
    """
    listener = listening()
    listener.setblocking(False)
    other = listener.dup()
    client = socket.create_connection(listener.getsockname())
    wait_until(lambda: bool(select.select([listener], [], [], 0)[0]), "the client")
    other.accept()[0].close()
    assert error_of(listener.accept) == "EAGAIN"
    client.close()


def test_select_has_no_place_for_descriptor_1024() -> None:
    """lab05#fd_setsize: an fd_set has 1024 bits; Python's select looks, and refuses."""
    with pytest.raises(ValueError, match="out of range"):
        select.select([1024], [], [], 0)


def test_poll_skips_a_negative_descriptor() -> None:
    """lab05#writes: an entry of poll whose fd is negative is skipped, not an error."""
    entry = ctypes.create_string_buffer(b"\xff\xff\xff\xff" + bytes(4), 8)
    assert libc.poll(entry, 1, 0) == 0


def test_poll_reports_a_hang_up_that_nobody_asked_for() -> None:
    """lab05#writes, lab06#slow-requests: POLLERR and POLLHUP are reported, asked for or not."""
    client, server = pair()
    watch = select.poll()
    watch.register(server, 0)
    assert watch.poll(0) == []
    reset(client)
    wait_until(lambda: bool(watch.poll(0)), "the reset")
    assert watch.poll(0)[0][1] == select.POLLERR | select.POLLHUP
    server.close()


def test_a_plain_file_is_always_ready_for_select_and_refused_by_epoll() -> None:
    """lab05#two-listeners, #reading: a plain file is always ready; epoll_ctl does not take it at all
    (EPERM).
    """
    with tempfile.TemporaryFile() as file:
        assert select.select([file], [file], [], 0)[:2] == ([file], [file])
        assert error_of(lambda: select.epoll().register(file.fileno(), select.EPOLLIN)) == "EPERM"


def test_at_the_end_a_socket_is_readable_now_and_always() -> None:
    """lab05#readiness, #clients-that-leave: after the other side's end a socket stays readable."""
    client, server = pair()
    client.close()
    wait_until(lambda: bool(select.select([server], [], [], 0)[0]), "the end")
    for _ in range(3):
        assert select.select([server], [], [], 0)[0] == [server]
        assert server.recv(1) == b""
    server.close()


def test_a_closed_descriptor_is_ebadf_for_select() -> None:
    """lab05#clients-that-leave: a closed descriptor that is left in the set makes select fail: EBADF."""
    reading, writing = os.pipe()
    os.close(reading)
    assert error_of(lambda: select.select([reading], [], [], 0)) == "EBADF"
    os.close(writing)


def test_an_urgent_byte_is_exceptional_and_recv_stops_there() -> None:
    """lab05#urgent: an urgent byte is announced at once, and recv stops where it stood."""
    client, server = pair()
    client.sendall(b"abc")
    client.send(b"!", socket.MSG_OOB)
    client.sendall(b"def")
    wait_until(lambda: bool(select.select([], [], [server], 0)[2]), "the urgent byte")
    assert server.recv(1, socket.MSG_OOB) == b"!"
    assert server.recv(99) == b"abc"
    wait_until(lambda: server.recv(99, socket.MSG_PEEK) == b"def", "the rest")
    client.close()
    server.close()


def test_accept_returns_each_connection_once() -> None:
    """lab06#pools, lab07#children-in-accept: of two copies of a listener one gets each connection."""
    listener = listening()
    listener.setblocking(False)
    copies = [listener, listener.dup()]
    clients = [socket.create_connection(listener.getsockname()) for _ in range(10)]
    accepted = []
    for turn in range(10):
        connection, address = copies[turn % 2].accept()
        accepted.append(address)
        connection.close()
    assert sorted(accepted) == sorted(client.getsockname() for client in clients)
    assert [error_of(copy.accept) for copy in copies] == ["EAGAIN", "EAGAIN"]
    for client in clients:
        client.close()
