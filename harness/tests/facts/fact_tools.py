"""What the tests of facts share: a process of their own, a network of their own, what the kernel knows."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import functools
import os
import pickle
import pwd
import socket
import struct
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

libc = ctypes.CDLL(None, use_errno=True)
_patience = 60.0  # seconds: a wait that is longer is a failure
_network, _users = 0x40000000, 0x10000000  # CLONE_NEWNET, CLONE_NEWUSER
_up = 1  # IFF_UP

Test = Callable[[], None]


def alone(network: bool = False, user: str = "") -> Callable[[Test], Test]:
    """Runs a test in a child process, so that its signals, children and limits are its own.

    network: in a new network namespace, whose loopback is up; skipped where the kernel refuses one.
    user: under this name, if the tests run as root; an ordinary user stays who they are.
    """

    def decorated(test: Test) -> Test:
        @functools.wraps(test)
        def in_a_child() -> None:
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:
                os.close(reading)
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump(_outcome(test, network, user), pipe)
                os._exit(0)
            os.close(writing)
            with os.fdopen(reading, "rb") as pipe:
                told = pipe.read()
            os.waitpid(child, 0)
            verdict, text = pickle.loads(told) if told else ("failed", "the child died without a word")
            if verdict == "skipped":
                pytest.skip(text)
            if verdict == "failed":
                pytest.fail(text, pytrace=False)

        return in_a_child

    return decorated


def _outcome(test: Test, network: bool, user: str) -> tuple[str, str]:
    try:
        if network:
            _own_network()
        if user and os.geteuid() == 0:
            entry = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
        test()
        return "passed", ""
    except pytest.skip.Exception as skipped:
        return "skipped", str(skipped)
    except BaseException:
        return "failed", traceback.format_exc()


def _own_network() -> None:
    flags = _network if os.geteuid() == 0 else _network | _users
    if libc.unshare(flags) == -1:
        pytest.skip(f"needs a network namespace: unshare: {os.strerror(ctypes.get_errno())}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sh22x", b"lo", _up)
        fcntl.ioctl(any_socket, 0x8914, request)  # SIOCSIFFLAGS


def called(result: int) -> int:
    """Returns what a function of the C library has returned, or raises its errno as OSError."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def error_of(call: Callable[[], object]) -> str:
    """Returns the name of the error with which a call fails, "" if it succeeds."""
    try:
        call()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return ""


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Waits for a fact. The limit is only for what would never come."""
    limit = time.monotonic() + _patience
    while not condition():
        if time.monotonic() > limit:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.002)


def setting(name: str) -> str:
    """Returns a sysctl's value ("net.ipv4.tcp_syncookies"); skips the test where the kernel has none."""
    path = Path("/proc/sys", *name.split("."))
    if not path.exists():
        pytest.skip(f"needs the sysctl {name}")
    return path.read_text().strip()


def set_setting(name: str, value: str) -> None:
    setting(name)
    try:
        Path("/proc/sys", *name.split(".")).write_text(value)
    except OSError as error:
        pytest.skip(f"may not set the sysctl {name}: {error.strerror}")


def state_of(pid: int) -> str:
    """Returns a process's state as ps shows it: R, S, T, Z …; "" if there is none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return ""


def status_of(pid: int, field: str) -> str:
    """Returns a line of /proc/PID/status: "SigCgt", "PPid", "Threads" …"""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split(":", 1)[1].strip() for line in lines if line.startswith(f"{field}:"))


def listening(backlog: int = 16, host: str = "127.0.0.1", **options: int) -> socket.socket:
    """Returns a listener at a port that the kernel has chosen. options: of SOL_SOCKET, by name."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    for name, value in options.items():
        listener.setsockopt(socket.SOL_SOCKET, getattr(socket, name), value)
    listener.bind((host, 0))
    listener.listen(backlog)
    return listener


def pair() -> tuple[socket.socket, socket.socket]:
    """Returns both ends of a TCP connection: the client's, the server's."""
    with listening() as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        return client, server


def reset(connection: socket.socket) -> None:
    """Closes a connection by a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


STATES = {"01": "ESTABLISHED", "02": "SYN_SENT", "03": "SYN_RECV", "04": "FIN_WAIT1", "05": "FIN_WAIT2"}
STATES |= {"06": "TIME_WAIT", "08": "CLOSE_WAIT", "09": "LAST_ACK", "0A": "LISTEN"}


def state_between(local: tuple[str, int], remote: tuple[str, int]) -> str:
    """Returns the state of the TCP socket at this local address with this remote one, "" if there is none."""
    ports = (local[1], remote[1])
    return next((state for here, there, state in _tcp_sockets() if (here, there) == ports), "")


def half_open(port: int) -> int:
    """Returns how many handshakes with the listener at this port have begun and are not complete."""
    return sum(here == port and state == "SYN_RECV" for here, _, state in _tcp_sockets())


def _tcp_sockets() -> list[tuple[int, int, str]]:
    """Returns the local port, the remote port and the state of each; proc_pid_net(5)."""
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [(_port(row[1]), _port(row[2]), STATES.get(row[3], row[3])) for row in rows]


def _port(address: str) -> int:
    return int(address.rpartition(":")[2], 16)
