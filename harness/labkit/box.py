"""Where a judged program runs: in the open, or in a box from which it reaches nothing but itself.

The tiers, best first. Which one a machine gives is found by trying (grading/world.py):
1  An ordinary user: the harness lives in a world of its own (user, pid, mount, ipc and network namespaces), each
   program in a bubblewrap box within, each check in a new network.
2  root: the same without a user namespace; the program drops to a user of its own in the box.
3  root in a container that refuses namespaces: a user of its own, limits, no capabilities, all its processes killed,
   and no file but those it needs, where the kernel has Landlock.
4  Nothing isolates: fit for one's own code only.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import functools
import json
import math
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import kernel
from .processes import Process, Stream
from .steps import CouldNotTell, Failed
from .surroundings import Surroundings
from .waiting import poll

TIERS = {
    1: "full isolation: own namespaces, each program in a box (tier 1)",
    2: "full isolation: own namespaces, each program in a box under a user of its own (tier 2)",
    3: "partial isolation: a user of its own and limits, {}; no private network (tier 3)",
    4: "no isolation: fit for one's own code only (tier 4)",
}
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/lib32")  # what programs see of it
SETTINGS = ("/etc/ld.so.cache", "/etc/alternatives", "/etc/hosts", "/etc/nsswitch.conf", "/etc/protocols")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")

USERS = range(60001, 64001)  # the users and groups that programs drop to when the harness is root
USER = int(os.environ.get("HARNESS_USER", USERS[0]))  # this harness's: the kernel counts processes by user
MEMORY = 1 << 30  # resident bytes of all of a check's programs together
PROCESSES = 2500  # and threads: a thousand clients with two each
AT_ONCE = 500  # processes of a check together, threads not counted
FILE_SIZE = 4 << 30  # bytes of a file, holes included
CPU_SECONDS = 120
SCRATCH_BYTES, SCRATCH_FILES = 256 << 20, 4096


@dataclass
class Box:
    """How programs are started. `readable` are the files and directories of the harness that they may read."""

    tier: int = 4
    readable: list[Path] = field(default_factory=list)
    watchdog: Watchdog | None = None
    traces: Path | None = None  # a directory: each program is run under strace(1), which writes there

    def too_much(self) -> str:
        """What a program has been killed for taking too much of: "memory", "processes", or "" if none has been."""
        return self.watchdog.too_much if self.watchdog else ""

    @contextlib.contextmanager
    def watched(self) -> Iterator[None]:
        """While the block runs, programs that together take too much memory, or are too many, are killed."""
        if self.tier == 4:
            yield
            return
        with Watchdog() as self.watchdog:
            yield

    @contextlib.contextmanager
    def lent(self, directory: Path) -> Iterator[None]:
        """While the block runs, the directory and all in it are the programs'; afterwards they can change none of it."""
        directory.mkdir(exist_ok=True)
        try:
            self._give(directory, USER)
            yield
        finally:
            self._give(directory, 0)

    def _give(self, directory: Path, user: int) -> None:
        if self.tier in (2, 3):
            for path in (directory, *directory.rglob("*")):
                os.chown(path, user, user, follow_symlinks=False)

    def start(
        self,
        argv: Sequence[str],
        around: Surroundings,
        *,
        stdin: Stream = subprocess.DEVNULL,
        stdout: Stream,
        stderr: Stream,
        writable: Sequence[Path] = (),
        ends_alone: bool = True,
    ) -> Process:
        """Starts argv[0] in its directory, to which it may write, as it may to `writable`. Throws Failed if it is no program.

        ends_alone: its children may outlive it, as they do without a box; else they end with it where there is one.
        """
        if not os.access(argv[0], os.X_OK):
            raise Failed("does not start: it is no program", rung="start", cause="does_not_start")
        cwd, env = around.directory, dict(around.environment)
        tracer, dies_with_us = self._tracer(argv), ["/usr/bin/setpriv", "--pdeathsig=KILL", "--"]
        limits = ["/usr/bin/prlimit", *self._limits(around.descriptors), "--"]
        argv = around.command([*argv])
        private = [f"{key}={value}" for key, value in env.items()]  # and not for the tools that start it
        if self.tier == 4:
            command = [*tracer, *dies_with_us, *limits, "/usr/bin/env", "-i", *private, *argv]
            return Process(command, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
        if self.tier == 3:
            own = _private(cwd, ".tmp")
            rights = _landlock([*self._readable(cwd), "/proc"], [cwd, own, *writable, *DEVICES]) if has_landlock() else []
            command = [*tracer, *rights, *_drop_user(), *dies_with_us, *limits, "/usr/bin/env", "-i", *private, f"TMPDIR={own}", *argv]
            return Process(command, cwd=cwd, stdin=stdin, stdout=stdout, stderr=stderr)
        told, telling = os.pipe()
        try:
            options = self._bubblewrap(cwd, env, telling, writable, ends_alone)
            with tempfile.TemporaryFile() as rules, tempfile.TemporaryFile() as words:
                if filtered := _no_hidden_memory():
                    rules.write(filtered)
                    rules.seek(0)
                    options += ["--seccomp", str(rules.fileno())]
                words.write(b"\0".join(map(os.fsencode, options)))  # not on the command line, which the program could read
                words.seek(0)
                command = [*tracer, "bwrap", "--args", str(words.fileno()), *(_drop_user() if self.tier == 2 else [])]
                command += ["/usr/bin/setsid", *limits, *argv]  # the program leads a process group, as it does without a box
                inherited = [telling, rules.fileno(), words.fileno()]
                process = Process(command, stdin=stdin, stdout=stdout, stderr=stderr, inherited=inherited)
        finally:
            os.close(telling)
        with os.fdopen(told) as info:
            text = info.read()
        process.boxed = True
        process.pid = _inner_pid(process, text)
        return process

    def _readable(self, cwd: Path) -> list[Path]:
        """What a program in `cwd` may read: what all may, and what the harness has given to this one."""
        given = given_beside(cwd)
        return [*self.readable, given] if given.is_dir() else self.readable

    def _tracer(self, argv: Sequence[str]) -> list[str]:
        """strace around everything: a program in a box cannot forge what the kernel is seen to do."""
        if self.traces is None:
            return []
        place = len(list(self.traces.iterdir()))
        trace = self.traces / f"{place:02}-{Path(argv[0]).name}.strace"
        trace.touch()
        return ["/usr/bin/strace", "-D", "-f", "-ttt", "-T", "-yy", "-s", "32", "-o", str(trace), "--"]

    def _limits(self, descriptors: int) -> list[str]:
        files = [f"--nofile={descriptors}"] if descriptors else []
        if self.tier == 4:
            return ["--core=0", *files]
        return ["--core=0", f"--nproc={PROCESSES}", f"--fsize={FILE_SIZE}", f"--cpu={CPU_SECONDS}", *files]

    def _bubblewrap(self, cwd: Path, env: dict[str, str], info: int, writable: Sequence[Path], ends_alone: bool) -> list[str]:
        command = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--clearenv", *([] if ends_alone else ["--die-with-parent"])]
        if self.tier == 1:
            command += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
        else:
            command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", "--cap-add", "CAP_SETPCAP"]
        command += ["--info-fd", str(info), "--ro-bind", "/usr", "/usr"]
        for name in SYSTEM[1:]:
            if Path(name).is_symlink():
                command += ["--symlink", os.readlink(name), name]
            elif Path(name).is_dir():
                command += ["--ro-bind", name, name]
        command += ["--perms", "0755", "--dir", "/etc"]
        for name in SETTINGS:
            command += ["--ro-bind-try", name, name]
        command += ["--proc", "/proc", "--dev", "/dev", "--remount-ro", "/dev", "--bind", str(_private(cwd, ".shm")), "/dev/shm"]
        command += ["--bind", str(_private(cwd, ".tmp")), "/tmp"]
        mounts = [("--ro-bind", path) for path in self._readable(cwd)] + [("--bind", path) for path in (cwd, *writable)]
        for way, path in mounts:
            for parent in reversed(path.parents[:-1]):
                command += ["--perms", "0755", "--dir", str(parent)]  # bubblewrap's own would be its owner's alone
            command += [way, str(path), str(path)]
        for key, value in env.items():
            command += ["--setenv", key, value]
        return [*command, "--remount-ro", "/", "--chdir", str(cwd)]


def _private(directory: Path, name: str) -> Path:
    """A directory for temporary files, beside the program's own: there no program can put a link in its place."""
    path = directory.with_name(name)
    path.mkdir(exist_ok=True)
    path.chmod(0o1777)
    return path


def given_beside(directory: Path) -> Path:
    """The directory of what the harness writes for a check's programs, and they only read: below their own directory
    they could place a link for it."""
    return directory.with_name("given")


def _no_hidden_memory() -> bytes:
    """A filter of system calls, without those whose memory no Watchdog could count, since no process need map it:
    files of memfd_create(2), segments of shmget(2). seccomp(2). Empty for a processor that is not listed."""
    machines = {"x86_64": (0xC000003E, 319, 29), "aarch64": (0xC00000B7, 279, 194)}  # linux/audit.h, asm/unistd.h
    if os.uname().machine not in machines:
        return b""
    native, memfd_create, shmget = machines[os.uname().machine]
    LOAD, JUMP_IF_EQUAL, JUMP_IF_BITS, RETURN, NUMBER, ARCHITECTURE = 0x20, 0x15, 0x45, 0x06, 0, 4
    ALLOW, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.ENOSYS
    steps = [
        (LOAD, 0, 0, ARCHITECTURE),
        (JUMP_IF_EQUAL, 0, 5, native),  # no other: the same call has another number there
        (LOAD, 0, 0, NUMBER),
        (JUMP_IF_BITS, 3, 0, 0x40000000),  # x32, which x86_64 calls itself by, too
        (JUMP_IF_EQUAL, 2, 0, memfd_create),
        (JUMP_IF_EQUAL, 1, 0, shmget),
        (RETURN, 0, 0, ALLOW),
        (RETURN, 0, 0, NO_SUCH_CALL),
    ]
    return b"".join(struct.pack("=HBBI", *one) for one in steps)


def _landlock(readable: Sequence[Path | str], writable: Sequence[Path | str]) -> list[str]:
    """Beside the system, a command reads only these files, and writes only those."""
    words = [word for path in (*SYSTEM, *SETTINGS, *readable) for word in ("-r", str(path))]
    words += [word for path in writable for word in ("-w", str(path))]
    return ["/usr/bin/python3", "-I", "-S", str(Path(__file__).with_name("landlock.py")), *words, "--"]


@functools.cache
def has_landlock() -> bool:
    """Whether the kernel keeps a program from files, found by trying."""
    tried = subprocess.run([*_landlock([], []), "cat", "/proc/version"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return tried.returncode == 1 and b"Permission denied" in tried.stderr


def described(tier: int) -> str:
    """What the tier is, in words for a report."""
    return TIERS[tier].format("files by Landlock" if tier == 3 and has_landlock() else "files by their owners alone")


def _drop_user() -> list[str]:
    """setpriv(1): from root to a user without any right, for good."""
    return ["/usr/bin/setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--bounding-set=-all",
            "--inh-caps=-all", "--no-new-privs", "--"]  # fmt: skip


def _inner_pid(process: Process, info: str) -> int:
    """The program in the box, by what bubblewrap said: its init is process 1 there, the program 2, whoever its children are."""
    try:
        init = int(json.loads(info)["child-pid"])
    except (ValueError, KeyError):
        raise CouldNotTell("the sandbox could not be set up: bubblewrap has failed") from None

    def started() -> int:
        for child in kernel.children(init):
            if kernel.number_within(child) == 2 and kernel.executable(child) not in ("", "bwrap", "setpriv", "setsid", "prlimit"):
                return child
        return process.pid if process.status() is not None else 0

    return poll(started, math.inf) or init  # a machine too busy to start it is not the program's fault


class Watchdog:
    """Kills a check's programs when together they hold more memory than they may (limits cannot: RLIMIT_AS breaks
    sanitizers, and counts per process), or are so many processes that nobody else has a CPU."""

    def __init__(self, limit: int = MEMORY) -> None:
        self.limit = limit
        self.too_much = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        me, pause = os.getpid(), 0.05
        while not self._over.wait(pause):
            begin = time.monotonic()
            members = kernel.family(me)[1:]
            if len(members) > AT_ONCE or sum(kernel.memory(member) for member in members) > self.limit:
                self.too_much = self.too_much or ("processes" if len(members) > AT_ONCE else "memory")
                for member in kernel.children(me):
                    kernel.kill_family(member)
            pause = max(0.05, 5 * (time.monotonic() - begin))  # a look at a thousand threads takes a while

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


@contextlib.contextmanager
def scratch_directory(tier: int) -> Iterator[Path]:
    """A new directory for one check's programs: of bounded size where it can be, and gone afterwards."""
    path = Path(tempfile.mkdtemp(prefix="lab-"))
    path.chmod(0o755)
    mounted = False
    try:
        if tier < 3:
            options = f"size={SCRATCH_BYTES},nr_inodes={SCRATCH_FILES},mode=0755"
            mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(path)]
            subprocess.run(mount, check=True)
            mounted = True
        own = path / "own"
        own.mkdir()
        given_beside(own).mkdir()
        if tier in (2, 3):
            own.chmod(0o1777)  # and not theirs: what the harness puts there, no program can replace
        yield own
    finally:
        if mounted:
            subprocess.run(["umount", "--lazy", str(path)], check=False)
        shutil.rmtree(path, ignore_errors=True)


def fresh_network() -> None:
    """Puts this process into a network of its own: a loopback, nobody on it, every port free; network_namespaces(7)."""
    CLONE_NEWNET, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8913, 0x8914, 1
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def kill_user() -> None:
    """Kills every process of the user that programs drop to, wherever it has got to, and removes what it left (tier 3)."""
    every_process = [*_drop_user(), "/bin/sh", "-c", "kill -9 -1"]  # all at once: one by one they could fork faster

    def killed() -> bool:
        subprocess.run(every_process, stderr=subprocess.DEVNULL, check=False)
        return not any(_is_theirs(entry) for entry in Path("/proc").iterdir())

    poll(killed, 5.0)
    if len(Path("/proc/sysvipc/shm").read_text().splitlines()) > 1:
        subprocess.run([*_drop_user(), "/usr/bin/ipcrm", "--all"], stderr=subprocess.DEVNULL, check=False)
    for path in (path for place in ("/dev/shm", "/tmp", "/var/tmp") for path in Path(place).iterdir()):
        with contextlib.suppress(OSError):
            if path.lstat().st_uid == USER:
                shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _is_theirs(entry: Path) -> bool:
    """Whether this is in /proc for a process of the user that programs drop to, which lives."""
    try:
        return entry.name.isdecimal() and entry.stat().st_uid == USER and kernel.state(int(entry.name)) not in ("", "Z")
    except OSError:
        return False
