"""TCP as labs 2, 7 and 8 tell of it."""

from __future__ import annotations

import functools
import os
import resource
import select
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fact_tools import (
    alone,
    error_of,
    half_open,
    listening,
    pair,
    reset,
    set_setting,
    setting,
    state_between,
    status_of,
    wait_until,
)

_deferred = 9  # TCP_DEFER_ACCEPT
_info = 11  # TCP_INFO
_now = socket.MSG_DONTWAIT
_closed = 7  # TCP_CLOSE, in TCP_INFO


@pytest.fixture
def opened() -> Iterator[ExitStack]:
    """Closes at the end of the test what it has opened."""
    with ExitStack() as stack:
        yield stack


def started(address: tuple[str, int]) -> socket.socket:
    """Returns a socket whose handshake has begun."""
    client = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    client.setblocking(False)
    client.connect_ex(address)
    return client


def info(connection: socket.socket) -> bytes:
    return connection.getsockopt(socket.IPPROTO_TCP, _info, 8)


def test_a_backlog_of_three_takes_four_and_the_next_syn_is_dropped(opened: ExitStack) -> None:
    """lab02#backlog: Linux takes one connection more than the backlog, and drops the SYN of the next."""
    listener = opened.enter_context(listening(3))
    address = listener.getsockname()
    clients = [opened.enter_context(started(address)) for _ in range(6)]
    wait_until(lambda: sum(info(client)[0] == 1 for client in clients) == 4, "four connections")
    assert [info(client)[0] for client in clients] == [1, 1, 1, 1, 2, 2]  # ESTABLISHED, SYN_SENT


def test_the_first_retries_of_a_syn_do_not_double_their_wait(opened: ExitStack) -> None:
    """lab02#backlog, choosing: a lost SYN is sent again after 1, 2, 3, 4, 5 s, and only then the wait
    doubles.

    TCP_INFO tells how often the wait was doubled: after the first retry not once.
    """
    if setting("net.ipv4.tcp_syn_linear_timeouts") == "0":
        pytest.skip("net.ipv4.tcp_syn_linear_timeouts is 0 here")
    listener = opened.enter_context(listening(0))
    opened.enter_context(started(listener.getsockname()))
    late = opened.enter_context(started(listener.getsockname()))
    wait_until(lambda: info(late)[2] >= 1, "the first retry")
    state, _, retries, _, backoff = info(late)[:5]
    assert (state, retries, backoff) == (2, 1, 0)


def test_the_backlog_bounds_half_open_connections_too(opened: ExitStack) -> None:
    """lab02#backlog: with listen(3) at most four handshakes are half open; the rest gets cookies or is
    dropped.
    """
    listener = opened.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, _deferred, 30)
    listener.listen(3)
    for _ in range(20):
        opened.enter_context(started(listener.getsockname()))
    assert half_open(listener.getsockname()[1]) == 4


@alone(network=True)
def test_of_a_flood_of_forged_syns_four_stay_half_open() -> None:
    """lab02#backlog: of 200 SYNs with forged addresses a listener with listen(3) keeps four."""
    set_setting("net.ipv4.conf.all.rp_filter", "0")
    set_setting("net.ipv4.tcp_syncookies", "0")
    ip = shutil.which("ip", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if not ip or subprocess.run([ip, "route", "add", "10.9.0.0/16", "dev", "lo"]).returncode != 0:
        pytest.skip("needs the command ip, and to set a route by it")
    listener = listening(3)
    port = listener.getsockname()[1]
    raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    for number in range(200):
        raw.sendto(forged_syn(f"10.9.0.{number + 1}", port), ("127.0.0.1", 0))
    wait_until(lambda: half_open(port) > 0, "a half-open connection")
    assert half_open(port) == 4


def forged_syn(source: str, port: int) -> bytes:
    """Returns an IPv4 packet: the SYN of a client at this address, which exists only here."""
    here, there = socket.inet_aton(source), socket.inet_aton("127.0.0.1")
    head = struct.pack("!HHIIBBHHH", 1024, port, 7, 0, 5 << 4, 2, 1000, 0, 0)
    total = sum(struct.unpack("!16H", here + there + struct.pack("!HH", 6, 20) + head))
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:16] + struct.pack("!H", ~total & 0xFFFF) + head[18:]
    return struct.pack("!BBHHHBBH4s4s", 0x45, 0, 40, 0, 0, 64, 6, 0, here, there) + head


def test_the_side_that_closes_first_waits_in_fin_wait_2_and_then_time_wait(opened: ExitStack) -> None:
    """lab02#time-wait: who closes first is in FIN-WAIT-2 until the other side closes, then in TIME-WAIT."""
    client, server = pair()
    opened.enter_context(client)
    there, here = server.getsockname(), client.getsockname()
    server.close()
    wait_until(lambda: state_between(there, here) == "FIN_WAIT2", "FIN-WAIT-2")
    assert state_between(here, there) == "CLOSE_WAIT"
    client.close()
    wait_until(lambda: state_between(there, here) == "TIME_WAIT", "TIME-WAIT")
    assert state_between(here, there) == ""


def test_reuseaddr_binds_a_port_with_connections_in_time_wait(opened: ExitStack) -> None:
    """lab02#time-wait: bind fails for a port in TIME-WAIT, and succeeds with SO_REUSEADDR."""
    listener = listening(SO_REUSEADDR=1)
    address = listener.getsockname()
    client = socket.create_connection(address)
    server, there = listener.accept()
    listener.close()
    server.close()
    client.close()
    wait_until(lambda: state_between(address, there) == "TIME_WAIT", "TIME-WAIT")
    again = opened.enter_context(socket.socket())
    assert error_of(lambda: again.bind(address)) == "EADDRINUSE"
    again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    again.bind(address)


@pytest.mark.parametrize("reuse", [0, 1])
def test_one_port_of_two_addresses_has_room_for_two_listeners(opened: ExitStack, reuse: int) -> None:
    """lab02#time-wait: two servers listen at one port of 127.0.0.1 and 127.0.0.2, with SO_REUSEADDR or
    without.

    A listener at one address and another one at all addresses do not go together on Linux, even with it.
    """
    listener = opened.enter_context(listening(SO_REUSEADDR=reuse))
    port = listener.getsockname()[1]
    other = opened.enter_context(socket.socket())
    other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    other.bind(("127.0.0.2", port))
    other.listen()
    everywhere = opened.enter_context(socket.socket())
    everywhere.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, reuse)
    assert error_of(lambda: everywhere.bind(("", port))) == "EADDRINUSE"


def test_half_close_leaves_the_other_direction_open(opened: ExitStack) -> None:
    """lab02#rude-clients: a client that has said that it sends no more still gets replies."""
    client, server = pair()
    opened.enter_context(client)
    opened.enter_context(server)
    client.shutdown(socket.SHUT_WR)
    assert server.recv(1) == b""
    server.sendall(b"reply")
    assert client.recv(9) == b"reply"


def test_to_close_with_unread_bytes_sends_a_reset(opened: ExitStack) -> None:
    """lab02#too-long, #rude-clients, lab08#a-reset: a close with unread bytes resets the connection."""
    client, server = pair()
    opened.enter_context(client)
    client.sendall(b"never read")
    wait_until(lambda: readable(server), "the bytes")
    server.close()
    wait_until(lambda: info(client)[0] == _closed, "the reset")
    assert error_of(lambda: client.recv(1)) == "ECONNRESET"


def test_what_has_arrived_before_a_reset_can_still_be_read(opened: ExitStack) -> None:
    """lab02#too-long, lab08#a-reset: on Linux recv returns what has arrived, and then tells of the reset."""
    client, server = pair()
    opened.enter_context(client)
    server.sendall(b"Line too long\n")
    wait_until(lambda: readable(client), "the bytes")
    reset(server)
    wait_until(lambda: info(client)[0] == _closed, "the reset")
    assert client.recv(99) == b"Line too long\n"
    assert error_of(lambda: client.recv(99)) == "ECONNRESET"


def test_what_waits_in_the_send_buffer_dies_with_a_reset(opened: ExitStack) -> None:
    """lab02#too-long, lab08#a-reset: bytes that have not left the sender when it resets are dropped."""
    client, server = pair()
    opened.enter_context(client)
    server.setblocking(False)
    sent = 0
    try:
        while True:
            sent += server.send(bytes(65536))
    except BlockingIOError:
        pass
    reset(server)
    received = 0
    try:
        while chunk := client.recv(1 << 20):
            received += len(chunk)
    except ConnectionResetError:
        pass
    assert 0 < received < sent


def readable(one: socket.socket) -> bool:
    return bool(select.select([one], [], [], 0)[0])


def test_the_first_send_to_a_closed_side_succeeds_the_next_is_epipe(opened: ExitStack) -> None:
    """lab02#rude-clients, lab08#sigpipe: to a side that has closed the first send succeeds, the next is
    EPIPE.
    """
    client, server = pair()
    opened.enter_context(server)
    client.close()
    assert server.recv(1) == b""
    assert server.send(b"x") == 1
    wait_until(lambda: info(server)[0] == _closed, "the reset")
    assert error_of(lambda: server.send(b"x", socket.MSG_NOSIGNAL)) == "EPIPE"


def test_a_client_that_resets_before_accept_stays_in_the_queue(opened: ExitStack) -> None:
    """lab05#readiness, lab02#rude-clients: accept returns an aborted connection, and recv tells of the
    reset.
    """
    listener = opened.enter_context(listening())
    listener.setblocking(False)
    reset(socket.create_connection(listener.getsockname()))
    wait_until(lambda: readable(listener), "the connection")
    connection, _ = listener.accept()
    opened.enter_context(connection)
    wait_until(lambda: readable(connection), "the reset")
    assert error_of(lambda: connection.recv(1)) == "ECONNRESET"


def test_a_listener_that_closes_resets_its_queue_and_not_its_neighbours(opened: ExitStack) -> None:
    """lab07#a-restart: with SO_REUSEPORT the queue of the listener that closes is reset."""
    assert lost_by_closing(opened) > 0


@alone(network=True)
def test_tcp_migrate_req_moves_the_queue_of_a_closing_listener() -> None:
    """lab07#a-restart: net.ipv4.tcp_migrate_req lets the kernel give that queue to the other listener."""
    set_setting("net.ipv4.tcp_migrate_req", "1")
    with ExitStack() as opened:
        assert lost_by_closing(opened) == 0


def lost_by_closing(opened: ExitStack) -> int:
    """Returns how many of 40 connections to two listeners are reset when the first listener closes."""
    older = listening(64, SO_REUSEPORT=1)
    newer = opened.enter_context(socket.socket())
    newer.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    newer.bind(older.getsockname())
    newer.listen(64)
    clients = [opened.enter_context(socket.create_connection(older.getsockname())) for _ in range(40)]
    older.close()
    return sum(error_of(functools.partial(client.recv, 1, _now)) == "ECONNRESET" for client in clients)


@alone()
def test_a_client_stays_in_the_queue_while_no_descriptor_is_free() -> None:
    """lab02#accept-fails, lab05, lab06: accept fails with EMFILE, again and again, and the client stays."""
    listener = listening()
    client = socket.create_connection(listener.getsockname())
    free = os.dup(0)
    os.close(free)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, free))
    assert error_of(listener.accept) == "EMFILE"
    assert error_of(listener.accept) == "EMFILE"
    assert readable(listener)
    os.close(0)
    connection, address = listener.accept()
    assert address == client.getsockname()
    connection.close()


@alone(user="nobody")
def test_a_port_below_the_limit_needs_a_capability() -> None:
    """lab02#first-server: to bind a port below ip_unprivileged_port_start needs CAP_NET_BIND_SERVICE."""
    limit = int(setting("net.ipv4.ip_unprivileged_port_start"))
    if limit == 0:
        pytest.skip("net.ipv4.ip_unprivileged_port_start is 0 here: every port is free")
    if int(status_of(os.getpid(), "CapEff"), 16) & 1 << 10:
        pytest.skip("has CAP_NET_BIND_SERVICE here")
    with socket.socket() as server:
        assert error_of(lambda: server.bind(("127.0.0.1", limit - 1))) == "EACCES"
        assert error_of(lambda: server.bind(("127.0.0.1", 0))) == ""


@alone(network=True)
def test_the_limit_of_unprivileged_ports_is_a_setting() -> None:
    """lab02#first-server: where that limit lies is net.ipv4.ip_unprivileged_port_start."""
    set_setting("net.ipv4.ip_unprivileged_port_start", "80")
    if os.geteuid() == 0:
        os.setgid(65534)
        os.setuid(65534)
    with socket.socket() as below, socket.socket() as above:
        above.bind(("127.0.0.1", 80))
        if int(status_of(os.getpid(), "CapEff"), 16) == 0:
            assert error_of(lambda: below.bind(("127.0.0.1", 79))) == "EACCES"


def test_the_kernel_doubles_a_receive_buffer() -> None:
    """lab02#socket-options: SO_RCVBUF is doubled, and read back doubled; it need not be a power of two."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 10_000)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) == 20_000


def test_a_raw_unix_socket_is_a_datagram_socket() -> None:
    """lab02#socket-families: the SOCK_RAW of AF_UNIX is taken for SOCK_DGRAM."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_RAW) as one:
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_TYPE) == socket.SOCK_DGRAM


@alone()
def test_the_old_packet_sockets_need_the_capability_of_raw_ones() -> None:
    """lab02#socket-families: SOCK_PACKET is obsolete; AF_PACKET needs CAP_NET_RAW."""
    capable = bool(int(status_of(os.getpid(), "CapEff"), 16) & 1 << 13)
    seen = error_of(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close())
    if seen == "EAFNOSUPPORT":
        pytest.skip("needs a kernel with AF_PACKET")
    assert seen == ("" if capable else "EPERM")


def test_a_socket_can_connect_to_itself(opened: ExitStack) -> None:
    """lab02#ephemeral-port: a socket that calls its own port is connected to itself, and reads what it
    sends.
    """
    one = opened.enter_context(socket.socket())
    one.bind(("127.0.0.1", 0))
    one.connect(one.getsockname())
    one.sendall(b"hello")
    assert one.recv(9) == b"hello"


def test_shutdown_wakes_another_threads_recv(opened: ExitStack) -> None:
    """lab06#a-clean-end: shutdown(SHUT_RD) makes a recv return 0 that another thread sleeps in."""
    client, server = pair()
    opened.enter_context(client)
    opened.enter_context(server)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(server.recv(1)))
    thread.start()
    number = thread.native_id
    wait_until(lambda: state_of_thread(number) == "S", "the thread's sleep")
    server.shutdown(socket.SHUT_RD)
    thread.join()
    assert got == [b""]


def state_of_thread(number: int | None) -> str:
    return Path(f"/proc/self/task/{number}/stat").read_text().rpartition(")")[2].split()[0]


@alone(network=True)
def test_kernel_tls_encrypts_what_sendfile_moves() -> None:
    """lab08#sendfile: with TCP_ULP "tls" the kernel encrypts what sendfile moves."""
    client, server = pair()
    try:
        server.setsockopt(socket.IPPROTO_TCP, 31, b"tls")
    except OSError as error:
        pytest.skip(f"needs a kernel with TLS (CONFIG_TLS): {error.strerror}")
    # struct tls12_crypto_info_aes_gcm_128: TLS 1.2, AES-GCM-128, and zeros for the secrets.
    server.setsockopt(282, 1, struct.pack("HH", 0x303, 51) + bytes(8 + 16 + 4 + 8))
    file = os.memfd_create("page")
    os.write(file, b"a page that nobody on the way can read")
    assert os.sendfile(server.fileno(), file, 0, 38) == 38
    sent = client.recv(999)
    assert sent[:1] == b"\x17" and b"a page" not in sent  # application data
