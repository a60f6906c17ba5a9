"""Facts that the kernel tells of a process: state, children, descriptors, sockets, CPU; proc(5)."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil


def _text(path: str) -> str:
    """A file of /proc. Checks look thousands of times: this takes a quarter of the time of Path.read_text()."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="replace")


def state(pid: int) -> str:
    """One letter, R S D T Z as in ps(1), or '' if there is no such process."""
    try:
        return _text(f"/proc/{pid}/stat").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def children(pid: int) -> dict[int, str]:
    """The process's own children, zombies included: pid to state letter."""
    found: dict[int, str] = {}
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            for child in _text(f"/proc/{pid}/task/{thread}/children").split():
                found[int(child)] = state(int(child))
    except OSError:
        pass
    return {child: letter for child, letter in found.items() if letter}


def session(pid: int) -> dict[int, str]:
    """The other processes of the process's session, zombies included: PID to state letter; setsid(2).

    Unlike children() it has the children of children, also if their parent has exited.
    """
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        own = os.getsid(pid)
        for member in map(int, filter(str.isdigit, os.listdir("/proc"))):
            with contextlib.suppress(OSError):
                if member != pid and os.getsid(member) == own:
                    found[member] = state(member)
    return {member: letter for member, letter in found.items() if letter}


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    found = [pid]
    for member in found:
        found.extend(children(member))
    return found


def running(pid: int) -> int:
    """How many threads of the process's descendants run or want to."""
    found = 0
    for member in family(pid)[1:]:
        with contextlib.suppress(OSError):
            found += sum(state(int(thread)) == "R" for thread in os.listdir(f"/proc/{member}/task"))
    return found


def running_elsewhere() -> int:
    """How many threads of the machine run or want to, without the descendants of this process."""
    everywhere = int(_text("/proc/loadavg").split()[3].split("/")[0])
    return everywhere - running(os.getpid()) if everywhere > (os.cpu_count() or 1) else everywhere


def threads(pid: int) -> int:
    """How many threads the process has."""
    return len(thread_ids(pid))


def thread_ids(pid: int) -> dict[int, str]:
    """The process's threads: number to name. The one that ThreadSanitizer starts for itself does not count."""
    found: dict[int, str] = {}
    try:
        for thread in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
            found[thread] = Path(f"/proc/{pid}/task/{thread}/comm").read_text().strip()
    except OSError:
        pass
    if has_mapped(pid, "/libtsan.so"):  # its thread is the first, and blocks nearly all signals: 59 in that of g++ 14
        blocked = [thread for thread in found if thread != pid and len(signals(thread, "blocked")) >= 50]
        for thread in blocked[:1]:
            del found[thread]
    return found


def at_rest(pid: int) -> bool:
    """Whether all threads sleep, and none has run between two looks: nothing happens until something comes from outside."""

    def look() -> tuple[set[str], int]:
        return {state(thread) for thread in thread_ids(pid)}, context_switches(pid)

    first = look()
    return first[0] == {"S"} and first == look()


def descriptors(pid: int) -> dict[int, str]:
    """The open descriptors: number to what it is ('socket:[123]', 'pipe:[45]', a path)."""
    found: dict[int, str] = {}
    try:
        for number in os.listdir(f"/proc/{pid}/fd"):
            try:
                found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
            except OSError:
                pass
    except OSError:
        pass
    return found


def nonblocking(pid: int, descriptor: int) -> bool:
    """Whether the open file behind the descriptor has O_NONBLOCK."""
    try:
        information = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text()
    except OSError:
        return False
    flags = next((int(line.split()[1], 8) for line in information.splitlines() if line.startswith("flags:")), 0)
    return bool(flags & os.O_NONBLOCK)


def cpu_seconds(pid: int) -> float:
    """CPU time that the process's threads have used, to the nanosecond."""
    total = 0
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(_text(f"/proc/{pid}/task/{thread}/schedstat").split()[0])
    except (OSError, IndexError):
        pass
    return total / 1e9


def cpu_share(pid: int) -> float:
    """CPU time of the process in relation to a busy loop of the harness's own at the same time: 0 idle, 1 busy."""
    before = cpu_seconds(pid)
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return (cpu_seconds(pid) - before) / 0.3


def context_switches(pid: int) -> int:
    """Voluntary context switches of all the process's threads: how often it went to sleep."""
    total = 0
    for thread in thread_ids(pid):
        try:
            status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in status.splitlines() if line.startswith("voluntary_ctxt_switches"))
    return total


def memory(pid: int) -> int:
    """Resident bytes of the process."""
    try:
        return int(_text(f"/proc/{pid}/statm").split()[1]) * os.sysconf("SC_PAGESIZE")
    except (OSError, IndexError):
        return 0


def has_mapped(pid: int, file: str) -> bool:
    """Whether the process has mapped a file of this name: a library that was to be preloaded, say."""
    try:
        return file in _text(f"/proc/{pid}/maps")
    except OSError:
        return False


def waiting_in(pid: int) -> str:
    """The kernel function that the process's main thread sleeps in ('inet_csk_accept'), '' if it runs or is unknown."""
    try:
        where = Path(f"/proc/{pid}/wchan").read_text()
    except OSError:
        return ""
    return "" if where == "0" else where


def signals(pid: int, kind: str) -> set[int]:
    """The numbers of the signals that the process has "caught" (has a handler for), "ignored" or "blocked", or that are "pending"."""
    field = {"caught": "SigCgt:", "ignored": "SigIgn:", "blocked": "SigBlk:", "pending": "ShdPnd:"}[kind]
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return set()
    mask = next((int(line.split()[1], 16) for line in status.splitlines() if line.startswith(field)), 0)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def command(pid: int) -> str:
    """The name of the program."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return "?"


def executable(pid: int) -> str:
    """The name of the file that the process runs, which it cannot change as it can its own name; '' if it has gone."""
    try:
        return Path(os.readlink(f"/proc/{pid}/exe")).name
    except OSError:
        return ""


def number_within(pid: int) -> int:
    """The process's number in its own pid namespace, 0 if it has gone; NSpid in proc_pid_status(5)."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[-1]) for line in lines if line.startswith("NSpid:"))


@dataclass(frozen=True)
class Socket:
    """A line of /proc/net/tcp or udp."""

    address: str
    port: int
    peer_port: int
    status: str  # "LISTEN", "ESTABLISHED", … or "NONE" for UDP
    unsent: int  # bytes in the send queue
    unread: int  # bytes in the receive queue; for a listener, connections that wait for accept
    inode: int  # 0: not accepted by anyone, or closed


_STATUS = dict(enumerate(["", "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT", "CLOSE",
                          "CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "SYN_RECV"]))  # fmt: skip


def sockets(kind: str = "tcp", pid: int | str = "self", wanted: Callable[[str], bool] = bool) -> list[Socket]:
    """The sockets of the network that process `pid` lives in, or those of them whose line is wanted.

    kind: tcp, tcp6, udp or udp6.
    """
    found = []
    try:
        lines = _text(f"/proc/{pid}/net/{kind}").splitlines()[1:]
    except OSError:
        return []
    for line in filter(wanted, lines):
        fields = line.split()
        address, port = fields[1].split(":")
        packed = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
        name = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
        unsent, unread = fields[4].split(":")
        status = _STATUS.get(int(fields[3], 16), "?") if kind.startswith("tcp") else "NONE"
        found.append(Socket(name, int(port, 16), int(fields[2].split(":")[1], 16), status, int(unsent, 16),
                            int(unread, 16), int(fields[9])))  # fmt: skip
    return found


def own_sockets(pid: int, kinds: tuple[str, ...] = ("tcp", "tcp6", "udp", "udp6")) -> list[Socket]:
    """The sockets that the process or one of its descendants holds open."""
    inodes = {
        name[8:-1] for member in family(pid) for name in descriptors(member).values() if name.startswith("socket:")
    }
    found: list[Socket] = []
    for kind in kinds:
        if len(found) < len(inodes):
            found += sockets(kind, pid, lambda line: line.split(maxsplit=10)[9] in inodes)
    return found


def connection(port: int, peer_port: int) -> list[Socket]:
    """Both ends of the connection between two ports of this machine, as far as they are there."""
    ends = [f":{number:04X} " for number in (port, peer_port)]
    found: list[Socket] = []
    for kind in ("tcp", "tcp6"):
        if len(found) < 2:
            found += sockets(kind, wanted=lambda line: all(end in line for end in ends))
    return found


def listening(pid: int) -> list[Socket]:
    """The TCP sockets on which the process or one of its descendants listens, lowest port first."""
    listeners = [entry for entry in own_sockets(pid, ("tcp", "tcp6")) if entry.status == "LISTEN"]
    found = {(entry.address, entry.port): entry for entry in listeners}  # SO_REUSEPORT: several on one port
    return sorted(found.values(), key=lambda entry: entry.port)


def receiving(pid: int) -> list[Socket]:
    """The UDP sockets of the process or its descendants that take datagrams from anybody, lowest port first."""
    found = own_sockets(pid, ("udp", "udp6"))
    return sorted((entry for entry in found if entry.port and not entry.peer_port), key=lambda entry: entry.port)


def accepted(server_port: int, client_port: int) -> bool | None:
    """Whether the connection has left the accept queue; None if there is no such connection (any more).

    A connection that nobody has accepted belongs to no file, and nobody can have closed it.
    """
    for entry in connection(server_port, client_port):
        if entry.port == server_port and entry.status != "TIME_WAIT":
            return entry.inode != 0 or entry.status not in ("SYN_RECV", "ESTABLISHED", "CLOSE_WAIT")
    return None


def table(pid: int) -> list[str]:
    """The process and its descendants, one a line: what a reader wants to see beside a failure."""
    rows = []
    for member in family(pid)[:12]:
        where = waiting_in(member)
        rows.append(
            f"pid {member} {command(member)}  {state(member) or 'gone'}"
            + (f"  in {where}" if where else "")
            + f"  {threads(member)} threads, {len(descriptors(member))} descriptors, {cpu_seconds(member):.2f} s CPU"
        )
    return rows


def kill_family(pid: int) -> None:
    """SIGKILLs the process and every descendant, also those that are born meanwhile."""
    for _ in range(100):
        living = [member for member in family(pid) if state(member) not in ("", "Z")]
        if not living:
            return
        for member in living:
            try:
                psutil.Process(member).kill()
            except psutil.Error:
                pass
