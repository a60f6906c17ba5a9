"""Facts that the kernel tells of a process: state, children, descriptors, sockets, CPU; proc(5).

All that a process can write there itself (its name, its files' names) are bytes, and come as text with
`\\xNN` for what is no UTF-8. A process that has gone has nothing; one that may not be looked at is never
taken for one that has nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from . import sock_diag
from .steps import CouldNotTell, Failed

Look = TypeVar("Look")
# The environment of the harness's own helpers, whose /proc/PID/environ a program may see.
NOTHING: dict[str, str] = {}

_libc = ctypes.CDLL(None, use_errno=True)
_PIDFD_GETFD = 438
started: set[int] = set()  # what the harness has started: each is nobody's stray
_user = 0  # whose processes are looked at, where this one may not look at other users'; 0: its own
_sees_all = (
    False  # whether a harmless program was seen to be as it is: what cannot be seen later hides itself
)


def look_as(user: int) -> None:
    """From now on what may not be looked at is looked at once more as this user (root without
    CAP_SYS_PTRACE).
    """
    global _user
    _user = user


def trust_sight() -> None:
    """From now on a process that cannot be looked at has made itself so: a failure of the program's."""
    global _sees_all
    _sees_all = True


@contextlib.contextmanager
def _as_their_user() -> Iterator[None]:
    """Makes this thread look at files as the programs' user does; setfsuid(2). No signal of theirs gets in by
    that.
    """
    PR_SET_PDEATHSIG, PR_GET_PDEATHSIG = 1, 2
    dies_with = ctypes.c_int()  # forgotten when the user changes
    _libc.prctl(PR_GET_PDEATHSIG, ctypes.byref(dies_with), 0, 0, 0)
    _libc.setfsgid(_user), _libc.setfsuid(_user)
    try:
        yield
    finally:
        _libc.setfsuid(0), _libc.setfsgid(0)
        _libc.prctl(PR_SET_PDEATHSIG, dies_with.value, 0, 0, 0)


@contextlib.contextmanager
def with_their_rights(pid: int) -> Iterator[None]:
    """Lets this thread, and no other of the harness's, trace the process and set its limits as its own user
    may; ptrace(2), prlimit(2).

    By the system calls themselves: libc's functions change all threads, and then a program could kill the
    harness.
    """
    owner = os.stat(f"/proc/{pid}")
    if os.geteuid() == 0 != owner.st_uid and os.uname().machine in _CHANGES:
        change_user, change_group = _CHANGES[os.uname().machine]
        _libc.syscall(change_group, owner.st_gid, 0, 0), _libc.syscall(change_user, owner.st_uid, 0, 0)
        try:
            yield
        finally:
            _libc.syscall(change_user, 0, 0, 0), _libc.syscall(change_group, 0, 0, 0)
    else:
        yield


_CHANGES = {"x86_64": (117, 119), "aarch64": (147, 149)}  # setresuid and setresgid; asm/unistd.h


def _look(pid: int, action: Callable[[], Look], nothing: Look) -> Look:
    """What the action finds of a process in /proc, `nothing` if it has gone.

    Throws Failed, or CouldNotTell while trust_sight() was not called, if nobody may look at it: for a moment
    that is so between the change of its user and its exec.
    """
    end = time.monotonic() + 5
    while True:
        try:
            try:
                return action()
            except PermissionError:
                if not _user:
                    raise
                with _as_their_user():
                    return action()
        except PermissionError:
            if state(pid) in ("", "Z"):
                return nothing
            if time.monotonic() >= end:
                break
            time.sleep(0.002)
        except OSError:
            return nothing
    if _sees_all:
        raise Failed("it keeps everybody from looking at it", rung="exited", cause="hides")
    raise CouldNotTell(f"the system does not let the harness look at process {pid}")


def _text(path: str) -> str:
    """A file of /proc. Checks look thousands of times: this takes a quarter of Path.read_text()'s time."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        parts = []
        while part := os.read(descriptor, 1 << 16):
            parts.append(part)
    finally:
        os.close(descriptor)
    return b"".join(parts).decode(errors="backslashreplace")


def _read(pid: int, name: str) -> str:
    """A file of the process's, or of its first living thread's if the main thread has ended; '' if it has
    gone.
    """
    return _look(pid, lambda: _text(f"{_place(pid)}/{name}"), "")


def _letter(place: str) -> str:
    """The state that `place`/stat tells, '' if it is not there."""
    try:
        return _text(f"{place}/stat").rpartition(")")[2].split()[0]
    except (OSError, IndexError):
        return ""


def _place(pid: int) -> str:
    """Where in /proc the process is: its main thread is a zombie when it has ended before the others;
    pthread_exit(3).
    """
    place = f"/proc/{pid}"
    if _letter(place) == "Z":
        with contextlib.suppress(OSError):
            for thread in os.listdir(f"{place}/task"):
                if thread != str(pid) and _letter(f"{place}/task/{thread}") not in ("", "Z", "X"):
                    return f"{place}/task/{thread}"
    return place


def state(pid: int) -> str:
    """One letter, R S D T Z as in ps(1), or '' if there is no such process. Z: all its threads have ended.
    Who waits for the harness's own answer does not sleep: R.
    """
    letter = _letter(_place(pid))
    return "R" if letter == "S" and _answers and _sleeps_in(pid).startswith(_ASKING) else letter


_ASKING = "seccomp_do_user_notification"  # in the kernel, as long as a call waits for its answer
_answers = False  # whether the harness answers calls


def answers() -> None:
    """From now on a program may wait for an answer of the harness's (unotify.py)."""
    global _answers
    _answers = True


def children(pid: int) -> dict[int, str]:
    """The process's own children, zombies included: pid to state letter."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):  # that thread has ended
                for child in _text(f"/proc/{pid}/task/{thread}/children").split():
                    found[int(child)] = state(int(child))
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


def strays(pid: int) -> list[int]:
    """The living processes beside the process that the harness has not started, and their descendants: what a
    judged program has left to the box's first process, or to the harness, when the parent between had ended.
    """
    with contextlib.suppress(OSError, IndexError):
        parent = int(_text(f"/proc/{pid}/stat").rpartition(")")[2].split()[1])
        owner = _owner(pid)
        beside = [child for child, letter in children(parent).items() if letter not in "ZX"]
        found = [child for child in beside if child != pid and child not in started]
        return [one for child in found if _owner(child) == owner for one in family(child)]
    return []


def _owner(pid: int) -> int:
    with contextlib.suppress(OSError):
        return os.stat(f"/proc/{pid}").st_uid
    return -1


def running(pid: int) -> int:
    """How many threads of the process's descendants run or want to."""
    found = 0
    for member in family(pid)[1:]:
        with contextlib.suppress(OSError):
            threads = os.listdir(f"/proc/{member}/task")
            found += sum(_letter(f"/proc/{member}/task/{thread}") == "R" for thread in threads)
    return found


def running_elsewhere() -> int:
    """How many threads of the machine run or want to, without the descendants of this process."""
    everywhere = int(_text("/proc/loadavg").split()[3].split("/")[0])
    return everywhere - running(os.getpid()) if everywhere > (os.cpu_count() or 1) else everywhere


def threads(pid: int) -> int:
    """How many threads the process has."""
    return len(thread_ids(pid))


def thread_ids(pid: int) -> dict[int, str]:
    """The process's threads: number to name. The one that ThreadSanitizer starts does not count."""
    found: dict[int, str] = {}
    with contextlib.suppress(OSError):
        for thread in sorted(map(int, os.listdir(f"/proc/{pid}/task"))):
            found[thread] = _name(f"/proc/{pid}/task/{thread}")
    if has_mapped(pid, "/libtsan.so"):  # its thread blocks nearly all signals: 59 in that of g++ 14
        blocked = [thread for thread in found if thread != pid and len(signals(thread, "blocked")) >= 50]
        for thread in blocked[:1]:
            del found[thread]
    return found


def at_rest(pid: int) -> bool:
    """Whether all threads sleep, and none has run between two looks: nothing happens until something comes
    from outside.
    """

    def look() -> tuple[set[str], int]:
        return {state(thread) for thread in thread_ids(pid)}, context_switches(pid)

    first = look()
    return first[0] == {"S"} and first == look()


def family_at_rest(pid: int) -> bool:
    """Whether the process and all its descendants are at rest."""
    return all(at_rest(member) for member in family(pid))


def family_switches(pid: int) -> int:
    """How often threads of the process and its descendants have gone to sleep."""
    return sum(context_switches(member) for member in family(pid))


def descriptors(pid: int) -> dict[int, str]:
    """The open descriptors: number to what it is ('socket:[123]', 'pipe:[45]', a path)."""

    def look() -> dict[int, str]:
        place, found = f"{_place(pid)}/fd", {}
        for number in os.listdir(place):
            with contextlib.suppress(FileNotFoundError):  # closed meanwhile
                found[int(number)] = os.readlink(os.fsencode(f"{place}/{number}")).decode(
                    errors="backslashreplace"
                )
        return found

    return _look(pid, look, {})


def nonblocking(pid: int, descriptor: int) -> bool:
    """Whether the open file behind the descriptor has O_NONBLOCK."""
    return bool(open_flags(pid, descriptor) & os.O_NONBLOCK)


def cpu_seconds(pid: int) -> float:
    """CPU time that the process's threads have used, to the nanosecond."""
    return _scheduled(pid, 0) / 1e9


def _scheduled(pid: int, field: int) -> int:
    """The sum over the process's threads of a field of schedstat: ns on a CPU, ns waiting for one, turns."""
    total = 0
    with contextlib.suppress(OSError, IndexError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            total += int(_text(f"/proc/{pid}/task/{thread}/schedstat").split()[field])
    return total


def rests(*members: int, seconds: float = 0.3) -> bool:
    """Whether the processes together, in so many seconds, have used or waited for a CPU less than a tenth of
    them, and sleep then. Other work on the machine makes that longer, never shorter.
    """

    def scheduled() -> int:
        return sum(_scheduled(pid, 0) + _scheduled(pid, 1) for pid in members)

    before = scheduled()
    time.sleep(seconds)
    return all(map(at_rest, members)) and scheduled() - before <= seconds * 1e9 / 10


def cpu_share(*members: int) -> float:
    """CPU time of the processes in relation to a busy loop of the harness's own at the same time: 0 idle, 1
    busy.
    """
    before = {pid: cpu_seconds(pid) for pid in members}
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return sum(max(0.0, cpu_seconds(pid) - used) for pid, used in before.items()) / 0.3


def context_switches(pid: int) -> int:
    """Voluntary context switches of all the process's threads: how often it went to sleep."""
    total = 0
    for thread in thread_ids(pid):
        with contextlib.suppress(OSError):
            total += int(_field(_text(f"/proc/{pid}/task/{thread}/status"), "voluntary_ctxt_switches:") or 0)
    return total


def stands_still(pid: int) -> bool:
    """Whether all threads of the process are stopped (SIGSTOP), or have ended."""
    with contextlib.suppress(OSError):
        return all(
            _letter(f"/proc/{pid}/task/{thread}") in ("", "T", "t", "Z", "X")
            for thread in os.listdir(f"/proc/{pid}/task")
        )
    return True


def turns(pid: int) -> int:
    """How often any of the process's threads was given a CPU: no more while it stands still; schedstat."""
    return _scheduled(pid, 2)


def memory(pid: int) -> int:
    """Resident bytes of the process, and its page tables."""
    resident = 0
    with contextlib.suppress(OSError, IndexError):
        resident = int(_text(f"/proc/{pid}/statm").split()[1]) or int(
            _text(f"{_place(pid)}/statm").split()[1]
        )
    return resident * os.sysconf("SC_PAGESIZE") + page_tables(pid)


def share_of_memory(pid: int) -> int:
    """Resident bytes of the process, where a page that several have mapped counts in parts, and its page
    tables; Pss in proc_pid_smaps(5).
    """
    told = _field(_read(pid, "smaps_rollup"), "Pss:")
    return 1024 * int((told or "0").split()[0]) + page_tables(pid)


def page_tables(pid: int) -> int:
    """Bytes that the process's page tables take."""
    with contextlib.suppress(OSError):
        return 1024 * int((_field(_text(f"{_place(pid)}/status"), "VmPTE:") or "0").split()[0])
    return 0


def hidden_memory() -> int:
    """Bytes of this machine's memory that no process maps and no file holds: buffers of pipes and sockets,
    page tables, what the kernel keeps otherwise; proc_meminfo(5)."""
    lines = dict(line.split(":") for line in _text("/proc/meminfo").splitlines())
    known = ("MemFree", "AnonPages", "Cached", "Buffers", "SwapCached", "SReclaimable", "Hugetlb")
    kib = {name: int(value.split()[0]) for name, value in lines.items()}
    return 1024 * (kib["MemTotal"] - sum(kib.get(name, 0) for name in known))


def has_mapped(pid: int, file: str) -> bool:
    """Whether the process has mapped a file of this name: a library that was to be preloaded, say."""
    return file in _read(pid, "maps")


def open_flags(pid: int, descriptor: int) -> int:
    """The access mode and the status flags of the open file that the descriptor is for, 0 if it is not open;
    proc(5), fdinfo.
    """
    return int(_field(_read(pid, f"fdinfo/{descriptor}"), "flags:") or "0", 8)


def position(pid: int, descriptor: int) -> int:
    """The position of the open file that the descriptor is for; proc(5), fdinfo."""
    return int(_field(_read(pid, f"fdinfo/{descriptor}"), "pos:") or "0")


@contextlib.contextmanager
def _borrowed(pid: int, descriptor: int) -> Iterator[socket.socket]:
    """A descriptor of the harness's own for a socket of the process's, or of one of its threads';
    pidfd_getfd(2). Throws OSError if it is no socket or may not be looked at.
    """
    process = os.pidfd_open(int(_field(_read(pid, "status"), "Tgid:") or pid))
    with with_their_rights(pid):
        ours = _libc.syscall(_PIDFD_GETFD, process, descriptor, 0)
        number = ctypes.get_errno()
    os.close(process)
    if ours < 0:
        raise OSError(number, "pidfd_getfd")
    try:
        end = socket.socket(fileno=ours)
    except OSError:  # it is no socket
        os.close(ours)
        raise
    with end:
        yield end


def socket_option(pid: int, descriptor: int, option: int) -> bytes:
    """An option (SOL_SOCKET) of a socket of the process's, b"" if it is no socket. Throws OSError if it may
    not be looked at.
    """
    if not socket_at(pid, descriptor):
        return b""
    with _borrowed(pid, descriptor) as end:
        return end.getsockopt(socket.SOL_SOCKET, option, 16)


def tell_of_room(pid: int, descriptor: int) -> None:
    """Wakes who waits until the process's socket can be written to, if it can: an edge for epoll(7). The
    kernel does so when the size of the buffer is set, here to what it is.
    """
    with _borrowed(pid, descriptor) as end:
        size = end.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)  # twice what was set; socket(7)
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size // 2)


def socket_at(pid: int, descriptor: int) -> int:
    """The inode of the socket that the descriptor is for, 0 if it is for something else."""
    what = _look(pid, lambda: os.readlink(f"{_place(pid)}/fd/{descriptor}"), "")
    return int(what[8:-1]) if what.startswith("socket:[") else 0


@contextlib.contextmanager
def shared_files(pid: int) -> Iterator[dict[str, int]]:
    """The files that the process has mapped to share them, and that have a name: path to a descriptor."""
    found: dict[str, int] = {}
    with contextlib.ExitStack() as after:
        for line in _read(pid, "maps").splitlines():
            words = line.split(maxsplit=5)
            if len(words) < 6 or words[1][3:] != "s" or words[5].endswith(" (deleted)"):
                continue
            with contextlib.suppress(OSError), with_their_rights(pid):
                found[words[5]] = os.open(f"/proc/{pid}/root{words[5]}", os.O_PATH | os.O_CLOEXEC)
                after.callback(os.close, found[words[5]])
        yield found


def waiting_in(pid: int) -> str:
    """The kernel function that the process's main thread sleeps in ('inet_csk_accept'), '' if it runs or is
    unknown, or if it waits for the harness's own answer.
    """
    where = _sleeps_in(pid)
    return "" if where.startswith(_ASKING) else where


def _sleeps_in(pid: int) -> str:
    where = _read(pid, "wchan")
    if where == "0" and _user:  # that is also what the kernel says to those who may not look
        with _as_their_user():
            where = _look(pid, lambda: _text(f"/proc/{pid}/wchan"), "")
    return "" if where == "0" else where


def tracer(pid: int) -> int:
    """The process that traces this one, 0 if none does; ptrace(2)."""
    return int(_field(_read(pid, "status"), "TracerPid:") or 0)


def signals(pid: int, kind: str) -> set[int]:
    """The numbers of the signals that the process has "caught" (has a handler for), "ignored" or "blocked",
    or that are "pending".
    """
    field = {"caught": "SigCgt:", "ignored": "SigIgn:", "blocked": "SigBlk:", "pending": "ShdPnd:"}[kind]
    mask = int(_field(_read(pid, "status"), field) or "0", 16)
    return {number for number in range(1, 65) if mask >> (number - 1) & 1}


def _field(text: str, name: str) -> str:
    """What follows the name at the beginning of a line; '' if no line begins so."""
    return next((line[len(name) :].strip() for line in text.splitlines() if line.startswith(name)), "")


def _name(place: str) -> str:
    with contextlib.suppress(OSError):
        return _text(f"{place}/comm").removesuffix("\n").encode("unicode_escape").decode()
    return "?"


def call(pid: int, thread: int) -> list[str]:
    """The system call that a thread is in, its arguments and two pointers, in hex; proc_pid_syscall(5)."""
    return _look(pid, lambda: _text(f"/proc/{pid}/task/{thread}/syscall"), "").split()


def bytes_at(pid: int, place: int, size: int) -> bytes:
    """What the process has in its memory there; b"" if it has gone."""

    def read() -> bytes:
        descriptor = os.open(f"/proc/{pid}/mem", os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, size, place)
        finally:
            os.close(descriptor)

    return _look(pid, read, b"")


def command(pid: int) -> str:
    """The name of the program, which it can change itself."""
    return _name(f"/proc/{pid}")


def executable(pid: int) -> str:
    """The path of the file that the process runs, which it cannot change as it can its own name; '' if it has
    gone.
    """
    link = _look(pid, lambda: os.readlink(os.fsencode(f"{_place(pid)}/exe")), b"")
    return link.decode(errors="backslashreplace")


def command_line(pid: int) -> list[str]:
    """The process's arguments, as it left them; empty if it has gone. proc_pid_cmdline(5)"""
    return _read(pid, "cmdline").split("\0")[:-1]


def number_within(pid: int) -> int:
    """The process's number in its own pid namespace, 0 if it has gone; NSpid in proc_pid_status(5)."""
    return int((_field(_read(pid, "status"), "NSpid:") or "0").split()[-1])


End = tuple[str, int]  # an address and a port


@dataclass(frozen=True)
class Socket:
    """A socket of TCP or UDP, as the kernel tells of it."""

    address: str
    port: int
    peer_address: str
    peer_port: int
    status: str  # "LISTEN", "ESTABLISHED", … or "NONE" for UDP
    timer: int  # 0: none runs; 1: retransmission; 2: keepalive; 3: TIME_WAIT; 4: a probe of a zero window
    unsent: int  # bytes in the send queue
    unread: int  # bytes in the receive queue; for a listener, connections that wait for accept
    inode: int  # 0: not accepted by anyone, or closed
    received: int | None = None  # bytes in all, where the kernel tells it; see connection()


_STATUS = dict(
    enumerate(
        [
            "",
            "ESTABLISHED",
            "SYN_SENT",
            "SYN_RECV",
            "FIN_WAIT1",
            "FIN_WAIT2",
            "TIME_WAIT",
            "CLOSE",
            "CLOSE_WAIT",
            "LAST_ACK",
            "LISTEN",
            "CLOSING",
            "SYN_RECV",
        ]
    )
)


def sockets(kind: str = "tcp", states: int = sock_diag.ALL, by_netlink: bool | None = None) -> list[Socket]:
    """The sockets of the network that the harness and its programs live in.

    kind: tcp, tcp6, udp or udp6. states: of sock_diag. by_netlink: for tests; usually where the kernel
    answers so, else from /proc.
    """
    if _asks_netlink() if by_netlink is None else by_netlink:
        family = socket.AF_INET6 if kind.endswith("6") else socket.AF_INET
        protocol = socket.IPPROTO_TCP if kind.startswith("tcp") else socket.IPPROTO_UDP
        rows = sock_diag.dump(family, protocol, states)
    else:
        rows = list(_rows_of_proc(kind, states))
    return [_socket(kind, row) for row in rows]


@functools.cache
def _asks_netlink() -> bool:
    return sock_diag.is_available()


def _rows_of_proc(
    kind: str, states: int = sock_diag.ALL, ports: tuple[int, int] = (0, 0)
) -> Iterator[sock_diag.Row]:
    """states: as of sockets(). ports: the socket's own and its peer's, 0 for any."""
    try:
        lines = _text(f"/proc/self/net/{kind}").splitlines()[1:]
    except FileNotFoundError:  # a system without IPv6
        return
    for line in lines:
        fields = line.split(maxsplit=10)
        (address, port), (peer_address, peer_port) = map(_end, fields[1:3])
        if ports[0] not in (0, port) or ports[1] not in (0, peer_port):
            continue
        if not states >> int(fields[3], 16) & 1:
            continue
        unsent, unread = (int(number, 16) for number in fields[4].split(":"))
        state, timer, inode = int(fields[3], 16), int(fields[5][:2], 16), int(fields[9])
        yield sock_diag.Row(address, port, peer_address, peer_port, state, timer, unsent, unread, inode)


def _end(field: str) -> tuple[bytes, int]:
    """An address and a port as /proc/net spells them."""
    address, port = field.split(":")
    packed = b"".join(bytes.fromhex(address[i : i + 8])[::-1] for i in range(0, len(address), 8))
    return packed, int(port, 16)


def _socket(kind: str, row: sock_diag.Row) -> Socket:
    status = _STATUS.get(row.state, "?") if kind.startswith("tcp") else "NONE"
    unsent = 0 if status == "LISTEN" else row.unsent  # netlink has the backlog there
    return Socket(
        _address(row.address),
        row.port,
        _address(row.peer_address),
        row.peer_port,
        status,
        row.timer,
        unsent,
        row.unread,
        row.inode,
        row.received,
    )


def _address(packed: bytes) -> str:
    """An address in words. What IPv6 calls ::ffff:127.0.0.1 is 127.0.0.1."""
    name = socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)
    return name.removeprefix("::ffff:") if "." in name else name


def socket_inodes(members: Iterable[int]) -> set[int]:
    """The inodes of the sockets that these processes hold open."""
    names = [name for member in members for name in descriptors(member).values()]
    return {int(name[8:-1]) for name in names if name.startswith("socket:")}


def holders(inode: int) -> list[int]:
    """The programs' processes, of all that this one has started, that hold this socket open."""
    return [member for member in family(os.getpid())[1:] if inode in socket_inodes([member])]


def own_sockets(pid: int, kinds: tuple[str, ...] = ("tcp", "tcp6", "udp", "udp6")) -> list[Socket]:
    """The sockets that the process or one of its descendants holds open."""
    inodes = socket_inodes(family(pid))
    found: list[Socket] = []
    for kind in kinds:
        if len(found) < len(inodes):
            found += [entry for entry in sockets(kind, sock_diag.OPEN) if entry.inode in inodes]
    return found


def connection(one: End, other: End, by_netlink: bool | None = None) -> list[Socket]:
    """Both sockets of the connection between two ends on this machine, as far as they are there. by_netlink:
    as of sockets().

    By all four numbers: with the same two ports others may talk at other addresses of the loopback.
    """
    if _asks_netlink() if by_netlink is None else by_netlink:
        rows = [_find(one, other), _find(other, one)]
        return [_socket("tcp", row) for row in rows if row is not None]
    found: list[Socket] = []
    for kind in ("tcp", "tcp6"):
        for ports in ((one[1], other[1]), (other[1], one[1])):
            if len(found) < 2:
                found += [
                    entry
                    for entry in (_socket(kind, row) for row in _rows_of_proc(kind, ports=ports))
                    if {(entry.address, entry.port), (entry.peer_address, entry.peer_port)} == {one, other}
                ]
    return found


def _find(own: End, peer: End) -> sock_diag.Row | None:
    family = socket.AF_INET6 if ":" in own[0] else socket.AF_INET
    ends = [(socket.inet_pton(family, address), port) for address, port in (own, peer)]
    return sock_diag.find(family, socket.IPPROTO_TCP, *ends)


def listening(pid: int) -> list[Socket]:
    """The TCP sockets on which the process or one of its descendants listens, lowest port first."""
    inodes = socket_inodes(family(pid))
    both = [entry for kind in ("tcp", "tcp6") for entry in sockets(kind, sock_diag.LISTEN) if inodes]
    listeners = [entry for entry in both if entry.inode in inodes]
    found = {(entry.address, entry.port): entry for entry in listeners}  # SO_REUSEPORT: several on one port
    return sorted(found.values(), key=lambda entry: entry.port)


def receiving(pid: int) -> list[Socket]:
    """The UDP sockets of the process or its descendants that take datagrams from anybody, by port."""
    found = own_sockets(pid, ("udp", "udp6"))
    return sorted(
        (entry for entry in found if entry.port and not entry.peer_port), key=lambda entry: entry.port
    )


def accepted(server: End, client: End) -> bool | None:
    """Whether the connection has left the accept queue; None if there is no such connection (any more).

    A connection that nobody has accepted belongs to no file, and nobody can have closed it.
    """
    for entry in connection(server, client):
        if (entry.address, entry.port) == server and entry.status != "TIME_WAIT":
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
            + f"  {threads(member)} threads, {len(descriptors(member))} descriptors, "
            f"{cpu_seconds(member):.2f} s CPU"
        )
    return rows


def kill_family(pid: int) -> None:
    """SIGKILLs the process and every descendant, also those that are born meanwhile."""
    for _ in range(100):
        living = [member for member in family(pid) if state(member) not in ("", "Z")]
        if not living:
            return
        for member in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(member, signal.SIGKILL)


def setting(name: str) -> str:
    """The value of a sysctl, "net/ipv4/tcp_migrate_req"; "" where the kernel has none of this name."""
    try:
        return _text(f"/proc/sys/{name}").strip()
    except OSError:
        return ""
