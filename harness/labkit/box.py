"""Where a judged program runs: in the open, or in a box from which it reaches nothing but itself.

The tiers, best first. Which one a machine gives is found by trying (grading/world.py):
1  An ordinary user: the harness lives in a world of its own (user, pid, mount, ipc and network namespaces),
   each program in a bubblewrap box within, each check in a new network.
2  root: the same without a user namespace; the program drops to a user of its own in the box.
3  root in a container that refuses namespaces: a user of its own, limits, no capabilities, all its processes
   killed, and no file but those it needs, where the kernel has Landlock.
4  Nothing isolates: fit for one's own code only.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import json
import math
import os
import socket
import stat
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from . import kernel, seccomp
from .cgroup import Group, new_group
from .kernel import NOTHING
from .processes import TRACER, Process, Stream
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
SETTINGS = (
    "/etc/ld.so.cache",
    "/etc/alternatives",
    "/etc/hosts",
    "/etc/nsswitch.conf",
    "/etc/protocols",
    "/etc/services",
)
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/shm")

USERS = range(60001, 64001)  # the users and groups that programs drop to when the harness is root
MEMORY = 1 << 30  # resident bytes of all of a check's programs together
PROCESSES = 2500  # and threads: a thousand clients with two each
AT_ONCE = 800  # processes of a check together, threads not counted
FILE_SIZE = 4 << 30  # bytes of a file, holes included
CPU_SECONDS = 120
SCRATCH_BYTES, SCRATCH_FILES = 256 << 20, 4096
TEMPORARY = "labs-"  # how the names of temporary directories begin
IN_MEMORY = Path("/dev/shm")  # a directory whose files take no disk, where there is one
BUILD_FILE_SIZE = 256 << 20  # of a file that the compiler makes


@dataclass
class Box:
    """How programs are started. `readable` are the files and directories that they may read."""

    tier: int = 4
    readable: list[Path] = field(default_factory=list)
    watchdog: Watchdog | None = None
    looked_at: set[Path] = field(default_factory=set)  # programs that are known not to talk to a sanitizer
    traces: Path | None = None  # a directory: each program is run under strace(1), which writes there

    def killed(self) -> Failed | CouldNotTell | None:
        """Why the watchdog has killed a check's programs; None if it has not."""
        return (
            too_much(self.watchdog)
            if self.watchdog and (self.watchdog.too_much or self.watchdog.trouble)
            else None
        )

    @contextlib.contextmanager
    def watched(self, *places: Path) -> Iterator[None]:
        """While the block runs, programs that together take too much memory, or are too many, are killed; and
        where nothing else limits what they write to these places, for that. Throws Failed if they were, and
        nobody said it.
        """
        if self.tier == 4:
            yield
            return
        with Watchdog([Path("/dev/shm"), *places] if self.tier == 3 else []) as self.watchdog:
            yield

    @contextlib.contextmanager
    def lent(self, directory: Path) -> Iterator[None]:
        """While the block runs, the directory and all in it are the programs'; afterwards they can change
        none of it.
        """
        directory.mkdir(exist_ok=True)
        try:
            self._give(directory, user())
            yield
        finally:
            self._give(directory, 0)

    def _give(self, directory: Path, user: int) -> None:
        if self.tier in (2, 3):
            subprocess.run(
                ["/usr/bin/chown", "-Rh", f"{user}:{user}", str(directory)], env=NOTHING, check=True
            )

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
        file_size: int = FILE_SIZE,
    ) -> Process:
        """Starts argv[0] in its directory, to which it may write, as it may to `writable`. Throws Failed if
        it is no program.

        ends_alone: its children may outlive it, as they do without a box; else they end with it where there
        is one.
        """
        if not os.access(argv[0], os.X_OK):
            raise Failed("does not start: it is no program", rung="start", cause="does_not_start")
        cwd, env = around.directory, dict(around.environment)
        answers = around.disturbance.answers if around.disturbance else None
        answered = answers.command(argv[0]) if answers else []

        def run(command: Sequence[str], cwd: Path | None, *inherited: int) -> Process:
            channel = [answers.channel.fileno()] if answers else []
            process = Process(
                command,
                cwd=cwd,
                env=NOTHING,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                inherited=[*channel, *inherited],
            )
            if answers:
                answers.begin()
            return process

        tracer, dies_with_us = self._tracer(argv), ["/usr/bin/setpriv", "--pdeathsig=KILL", "--"]
        limits = [*self._limits(around, file_size), "--"]
        argv = around.command([*argv])
        # For the program alone: what sets it up has an empty environment, which the program could read in
        # /proc, and preloads nothing.
        private = ["/usr/bin/env", "-i", *(f"{key}={value}" for key, value in env.items())]
        if self.tier == 4:
            command = [*tracer, *answered, *dies_with_us, *limits, *private, *argv]
            return run(command, cwd)
        group = self.watchdog.group if self.watchdog else None
        if self.tier == 3:
            own = _private(cwd, ".tmp")
            readable: list[Path | str] = [*self._readable(cwd), "/proc"] if has_landlock() else []
            rights = _confine(seccomp.refusals(), readable, [cwd, own, *writable, *DEVICES])
            command = [
                *tracer,
                *answered,
                *rights,
                *_drop_user(),
                *dies_with_us,
                *limits,
                *private,
                f"TMPDIR={own}",
                *argv,
            ]
            command = group.joining(command) if group else command
            process = run(command, cwd)
            _await_program(process, argv)
            return process
        told, telling = os.pipe()
        try:
            options = self._bubblewrap(cwd, telling, writable, ends_alone)
            with tempfile.TemporaryFile() as rules, tempfile.TemporaryFile() as words:
                if filtered := seccomp.refusals():
                    rules.write(filtered)
                    rules.seek(0)
                    options += ["--seccomp", str(rules.fileno())]
                # Not on the command line, which the program could read.
                words.write(b"\0".join(map(os.fsencode, options)))
                words.seek(0)
                command = [
                    *tracer,
                    *answered,
                    "/usr/bin/bwrap",
                    "--args",
                    str(words.fileno()),
                    *(_drop_user() if self.tier == 2 else []),
                ]
                # The program leads a process group, as it does without a box.
                command += [
                    "/usr/bin/setsid",
                    *limits,
                    *private,
                    *argv,
                ]
                command = group.joining(command) if group else command
                process = run(command, None, telling, rules.fileno(), words.fileno())
        finally:
            os.close(telling)
        with os.fdopen(told, "rb", buffering=0) as info:
            text = b""
            while b"}" not in text and (more := info.read(4096)):  # a tracer keeps its end open
                text += more
        process.boxed = True
        process.pid = _inner_pid(process, text.decode())
        _await_program(process, argv)
        return process

    def prove_sight(self) -> bool:
        """Whether a harmless server in the box is seen to listen. From then on a program that is not seen
        hides itself.
        """
        if self.tier == 3:
            kernel.look_as(user())
        server = "import socket, time; listener = socket.create_server(('127.0.0.1', 0)); time.sleep(1000)"
        nothing = subprocess.DEVNULL
        with scratch_directory(self.tier) as own:
            argv = ["/usr/bin/python3", "-I", "-S", "-c", server]
            untraced = replace(self, traces=None)
            with untraced.start(argv, Surroundings(own), stdout=nothing, stderr=nothing) as process:
                try:
                    seen = poll(lambda: kernel.listening(process.pid) or process.status() is not None, 60.0)
                except CouldNotTell:
                    seen = None
        if isinstance(seen, list):
            kernel.trust_sight()
        return isinstance(seen, list)

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
        return [TRACER, "-D", "-f", "-ttt", "-T", "-yy", "-s", "32", "-o", str(trace), "--"]

    def _limits(self, around: Surroundings, file_size: int) -> list[str]:
        files = [f"--nofile={around.descriptors}"] if around.descriptors else []
        if around.raisable:
            files = [f"--nofile={around.raisable}:"]  # the soft limit alone
        if self.tier == 4:
            return ["/usr/bin/prlimit", "--core=0", *files]
        # The first to die when the machine has no memory left, and not the harness; confine.py does so in
        # tier 3.
        first_to_die = ["/usr/bin/choom", "--adjust=1000", "--"] if self.tier < 3 else []
        limits = ["--core=0", f"--nproc={PROCESSES}", f"--fsize={file_size}", f"--cpu={CPU_SECONDS}"]
        return [*first_to_die, "/usr/bin/prlimit", *limits, *files]

    def _bubblewrap(self, cwd: Path, info: int, writable: Sequence[Path], ends_alone: bool) -> list[str]:
        command = [
            "--unshare-pid",
            "--unshare-ipc",
            "--unshare-uts",
            "--clearenv",
            *([] if ends_alone else ["--die-with-parent"]),
        ]
        if self.tier == 1:
            command += ["--unshare-user", "--uid", "1000", "--gid", "1000"]
        else:
            command += [
                "--cap-drop",
                "ALL",
                "--cap-add",
                "CAP_SETUID",
                "--cap-add",
                "CAP_SETGID",
                "--cap-add",
                "CAP_SETPCAP",
            ]
        command += ["--info-fd", str(info), "--ro-bind", "/usr", "/usr"]
        for name in SYSTEM[1:]:
            if Path(name).is_symlink():
                command += ["--symlink", os.readlink(name), name]
            elif Path(name).is_dir():
                command += ["--ro-bind", name, name]
        command += ["--perms", "0755", "--dir", "/etc"]
        for name in SETTINGS:
            command += ["--ro-bind-try", name, name]
        command += [
            "--proc",
            "/proc",
            *_cover_of_init(),
            "--dev",
            "/dev",
            "--remount-ro",
            "/dev",
            "--bind",
            str(_private(cwd, ".shm")),
            "/dev/shm",
        ]
        command += ["--bind", str(_private(cwd, ".tmp")), "/tmp"]
        mounts = [("--ro-bind", path) for path in self._readable(cwd)] + [
            ("--bind", path) for path in (cwd, *writable)
        ]
        for way, path in mounts:
            for parent in reversed(path.parents[:-1]):
                # bubblewrap's own would be its owner's alone.
                command += [
                    "--perms",
                    "0755",
                    "--dir",
                    str(parent),
                ]
            command += [way, str(path), str(path)]
        return [*command, "--remount-ro", "/", "--chdir", str(cwd)]


@functools.cache
def _cover_of_init() -> list[str]:
    """Takes the memory of the box's first process, which in tier 1 is of the same user, out of a program's
    sight.
    """
    cover = ["--ro-bind", "/dev/null", "/proc/1/mem"]
    tried = ["/usr/bin/bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", *cover, "/bin/true"]
    return cover if subprocess.run(tried, env=NOTHING, stderr=subprocess.DEVNULL).returncode == 0 else []


def _private(directory: Path, name: str) -> Path:
    """A directory for temporary files, beside the program's own: there no program can put a link in its
    place.
    """
    path = directory.with_name(name)
    path.mkdir(exist_ok=True)
    path.chmod(0o1777)
    return path


def given_beside(directory: Path) -> Path:
    """The directory of what the harness writes for a check's programs, and they only read: below their own
    directory they could place a link for it."""
    return directory.with_name("given")


def _confine(
    instructions: bytes, readable: Sequence[Path | str], writable: Sequence[Path | str]
) -> list[str]:
    """A command makes no system call that the filter refuses. If anything is readable, then beside the system
    a command reads only these files, and writes only those."""
    words = (
        [word for path in (*SYSTEM, *SETTINGS, *readable) for word in ("-r", str(path))] if readable else []
    )
    words += [word for path in writable for word in ("-w", str(path))]
    words += ["-s", instructions.hex()] if instructions else []
    return ["/usr/bin/python3", "-I", "-S", str(Path(__file__).with_name("confine.py")), *words, "--"]


@functools.cache
def has_landlock() -> bool:
    """Whether the kernel keeps a program from files, found by trying."""
    command = [*_confine(b"", ["/etc/hosts"], []), "/bin/cat", "/proc/version"]
    tried = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return tried.returncode == 1 and b"Permission denied" in tried.stderr


def described(tier: int) -> str:
    """What the tier is, in words for a report."""
    return TIERS[tier].format(
        "files by Landlock" if tier == 3 and has_landlock() else "files by their owners alone"
    )


_place = 0  # among the checks of a grading that run at once


def user() -> int:
    """The user that this process's programs drop to: one of its own, since the kernel counts by user
    (reserve_user).
    """
    first = int(os.environ.get("HARNESS_USER", USERS[0]))
    return USERS[(first - USERS[0] + 997 * _place) % len(USERS)] if _place else first


def reserve_user() -> IO[bytes]:
    """Chooses a user that no other grading on this machine has, for user() and the programs that this one
    starts. It is taken as long as the returned file is open: the first one that is free, so that what it may
    have left is found.
    """
    for number in USERS:
        lock = Path("/run", f"labs-user-{number}.lock")
        file = os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        os.environ["HARNESS_USER"] = str(number)
        return file
    raise CouldNotTell("every user for judged programs is taken by another grading")


def _drop_user() -> list[str]:
    """setpriv(1): from root to a user without any right, for good."""
    return [
        "/usr/bin/setpriv",
        f"--reuid={user()}",
        f"--regid={user()}",
        "--clear-groups",
        "--bounding-set=-all",
        "--inh-caps=-all",
        "--no-new-privs",
        "--",
    ]


_TOOLS = {f"/usr/bin/{name}" for name in ("bwrap", "setpriv", "setsid", "choom", "prlimit", "env", "strace")}
_TOOLS |= {os.path.realpath(name) for name in ("/bin/sh", "/usr/bin/python3")}
_SETTING_UP = 10.0  # seconds; a program may also become one of the tools


def _inner_pid(process: Process, info: str) -> int:
    """The program in the box, by what bubblewrap said: its init is process 1 there, the program 2, whoever
    its children are.
    """
    try:
        init = int(json.loads(info)["child-pid"])
    except (ValueError, KeyError):
        raise CouldNotTell("the sandbox could not be set up: bubblewrap has failed") from None

    def first() -> int:
        found = [child for child in kernel.children(init) if kernel.number_within(child) == 2]
        return found[0] if found else process.pid if process.status() is not None else 0

    return poll(first, math.inf) or init  # a machine too busy to start it is not the program's fault


def _await_program(process: Process, argv: Sequence[str]) -> None:
    """Waits until the process has become the judged program: in tier 3 nobody may look at it before.

    The harness's own programs are run by a tool, Python: they are known by their command line.
    """

    def has_begun() -> bool:
        try:
            if process.status() is not None or kernel.executable(process.pid) not in {"", *_TOOLS}:
                return True
            return kernel.command_line(process.pid) == list(argv)
        except (CouldNotTell, Failed):  # as long as its user changes
            return False

    poll(has_begun, _SETTING_UP)


class Watchdog:
    """Kills a check's programs when together they hold more memory than they may (limits cannot: RLIMIT_AS
    breaks sanitizers, and counts per process), are so many processes that nobody else has a CPU, or fill a
    disk.

    A control group counts the kernel's own memory for them, too. Without one the machine's figures must do:
    what grows there, and comes back when these programs are dead, was theirs.
    """

    def __init__(self, places: Sequence[Path] = (), limit: int = MEMORY) -> None:
        self.limit = limit
        self.too_much = ""
        self.trouble = ""  # what kept it from watching: then nothing was seen
        self.group: Group | None = new_group(limit + SCRATCH_BYTES)
        self._hidden = kernel.hidden_memory()
        self._places = {place: _room(place) for place in places if place.is_dir()}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        try:
            pause = 0.05
            while not self._over.wait(pause):
                begin = time.monotonic()
                self._look()
                # A look at a thousand threads takes a while.
                pause = max(0.05, 5 * (time.monotonic() - begin))
        except Exception as error:
            self.trouble = f"the watch over memory has failed: {type(error).__name__}: {error}"
            self._kill()

    def _look(self) -> None:
        members = kernel.family(os.getpid())[1:]
        if len(members) > AT_ONCE:
            self._ends("processes")
        elif sum(kernel.memory(member) for member in members) > self.limit or (
            self.group and self.group.overflowed()
        ):
            self._ends("memory")
        elif any(
            before - _room(place) > SCRATCH_BYTES and _size(place) > SCRATCH_BYTES
            for place, before in self._places.items()
        ):
            self._ends("disk")
        elif (
            self.group is None
            and (full := kernel.hidden_memory()) - self._hidden > self.limit
            and _hold_much(members)
        ):
            self._kill()
            if poll(lambda: full - kernel.hidden_memory() > self.limit / 2, 10.0):
                self._ends("memory")
            else:
                self.trouble = "the machine's memory was taken by somebody else"
                self._hidden = kernel.hidden_memory()

    def _ends(self, what: str) -> None:
        self.too_much = self.too_much or what
        self._kill()

    def _kill(self) -> None:
        for member in [*kernel.children(os.getpid()), *(self.group.members() if self.group else [])]:
            kernel.kill_family(member)

    def __enter__(self) -> Watchdog:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._over.set()
        self._thread.join()
        if self.group:
            self._leave(self.group)
            self.group = None
        if kind is None and (self.trouble or self.too_much):
            raise too_much(self)

    def _leave(self, group: Group) -> None:
        def removed() -> bool:
            for member in group.members():
                kernel.kill_family(member)
            with contextlib.suppress(OSError):
                group.remove()
            return not group.directory.exists()

        poll(removed, 5.0)


def too_much(watchdog: Watchdog) -> Failed | CouldNotTell:
    """Why the watchdog has killed a check's programs."""
    if watchdog.trouble:
        return CouldNotTell(watchdog.trouble)
    cause = {"memory": "memory_hog", "processes": "too_many_processes", "disk": "disk_hog"}[watchdog.too_much]
    return Failed(f"it took too much ({watchdog.too_much}), and was killed", rung="exited", cause=cause)


def _hold_much(members: Sequence[int]) -> bool:
    """Whether the processes have the means to fill the kernel's memory: many pipes and sockets, or much
    address space.
    """
    names = (name for member in members for name in kernel.descriptors(member).values())
    many = sum(name.startswith(("pipe:", "socket:")) for name in names) > 64
    return many or sum(kernel.page_tables(member) for member in members) > 64 << 20


def _room(place: Path) -> int:
    """Bytes that are free where the directory is."""
    system = os.statvfs(place)
    return system.f_bavail * system.f_frsize


def _size(place: Path) -> int:
    """Bytes that the files in the directory take, and 4 KiB for each of them; without recursion."""
    total, waiting = 0, [place]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                total += 4096 + 512 * entry.stat(follow_symlinks=False).st_blocks
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
    return total


def remove(path: Path, owner: int | None = None) -> None:
    """Removes a directory and all in it, however deep; does nothing if it is not there, and never throws.

    owner: as whom to remove it.
    """
    user_dropped = [] if owner is None else _drop_user()
    # shutil.rmtree calls itself.
    command = [
        *user_dropped,
        "/usr/bin/rm",
        "-rf",
        "--one-file-system",
        "--",
        str(path),
    ]
    with contextlib.suppress(OSError):
        subprocess.run(
            command,
            env=NOTHING,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )


@contextlib.contextmanager
def temporary_directory(prefix: str, mode: int = 0o755, place: Path | None = None) -> Iterator[Path]:
    """A new directory that is gone after the block, whatever was put into it; and after a SIGKILL by the next
    sweep().
    """
    path = Path(tempfile.mkdtemp(prefix=TEMPORARY + prefix, dir=place))
    mine = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    fcntl.flock(mine, fcntl.LOCK_EX)
    path.chmod(mode)
    try:
        yield path
    finally:
        remove(path)
        os.close(mine)


def sweep() -> None:
    """Removes what killed gradings have left: old temporary directories that nobody holds any more."""
    places = (Path(tempfile.gettempdir()), IN_MEMORY)
    for path in (path for place in places for path in place.glob(TEMPORARY + "*")):
        with contextlib.suppress(OSError):
            status = path.lstat()
            if (
                not stat.S_ISDIR(status.st_mode)
                or status.st_uid != os.geteuid()
                or time.time() - status.st_ctime < 60
            ):
                continue
            place = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
                remove(path)
            finally:
                os.close(place)


@contextlib.contextmanager
def bounded_directory(
    tier: int, prefix: str, size: int, files: int, place: Path | None = None
) -> Iterator[Path]:
    """The same, with room for so many bytes and files where the harness may mount one (tiers 1 and 2)."""
    with temporary_directory(prefix, place=place) as path:
        if tier >= 3:
            yield path
            return
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},nr_inodes={files},mode=0755", "tmpfs", str(path)],
            check=True,
        )
        try:
            yield path
        finally:
            subprocess.run(["umount", "--lazy", str(path)], check=False)


@contextlib.contextmanager
def scratch_directory(tier: int, place: Path | None = None) -> Iterator[Path]:
    """A new directory (in `place`) for one check's programs: of bounded size where it can be, and gone
    afterwards.
    """
    with bounded_directory(tier, "lab-", SCRATCH_BYTES, SCRATCH_FILES, place) as path:
        own = path / "own"
        own.mkdir()
        given_beside(own).mkdir()
        if tier in (2, 3):
            own.chmod(0o1777)  # and not theirs: what the harness puts there, no program can replace
        yield own


def fresh_network() -> None:
    """Puts this process into a network of its own: a loopback, nobody on it, every port free;
    network_namespaces(7).
    """
    CLONE_NEWNET, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x40000000, 0x8913, 0x8914, 1
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack("16sH14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def take_user(place: int) -> None:
    """From now on this process's programs drop to a user that belongs to the place: the kernel counts
    processes by user.
    """
    global _place
    _place = place


def kill_user() -> None:
    """Kills every process of the user that programs drop to, wherever it has got to, and removes what it left
    (tier 3).
    """
    # All at once: one by one they could fork faster.
    every_process = [
        *_drop_user(),
        "/bin/sh",
        "-c",
        "kill -9 -1",
    ]

    def killed() -> bool:
        subprocess.run(every_process, env=NOTHING, stderr=subprocess.DEVNULL, check=False)
        return not any(_is_theirs(entry) for entry in Path("/proc").iterdir())

    poll(killed, 5.0)
    kinds = (Path("/proc/sysvipc", kind) for kind in ("shm", "sem", "msg"))
    if any(len(kind.read_text().splitlines()) > 1 for kind in kinds if kind.exists()):
        subprocess.run(
            [*_drop_user(), "/usr/bin/ipcrm", "--all"], env=NOTHING, stderr=subprocess.DEVNULL, check=False
        )
    for place in map(Path, ("/dev/shm", "/tmp", "/var/tmp", "/dev/mqueue")):
        for path in place.iterdir() if place.is_dir() else ():
            with contextlib.suppress(OSError):
                if path.lstat().st_uid == user():
                    remove(path, owner=user())


def _is_theirs(entry: Path) -> bool:
    """Whether this is in /proc for a process of the user that programs drop to, which lives."""
    try:
        return (
            entry.name.isdecimal()
            and entry.stat().st_uid == user()
            and kernel.state(int(entry.name)) not in ("", "Z")
        )
    except OSError:
        return False
