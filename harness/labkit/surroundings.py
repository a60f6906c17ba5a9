"""What is around the harness and a judged program: made here, so that nothing inherited changes a verdict."""

from __future__ import annotations

import contextlib
import io
import locale
import os
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from .faults import Disturbance
from .steps import CouldNotTell
from .witness import Witness

# The environment of every judged program, and nothing else of the harness's own.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    # What is set here no program can change by a function of its own (__tsan_default_options).
    "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0:log_path=stderr:exitcode=1:suppressions=",
    # io_sync: a read after a write puts no threads in order, so that every race shows.
    "TSAN_OPTIONS": "io_sync=0:atexit_sleep_ms=0:report_bugs=1:report_atomic_races=1:"
    "detect_deadlocks=1:exitcode=66:"
    "log_path=stderr:suppressions=:ignore_interceptors_accesses=0:ignore_noninstrumented_modules=0",
    "UBSAN_OPTIONS": "print_stacktrace=1:log_path=stderr:suppressions=",
}

# What the harness keeps of the environment that it was started in: what changes no verdict.
_KEPT = ("HOME", "USER", "LOGNAME", "TERM", "COLUMNS", "LINES", "NO_COLOR")
_KEPT_FAMILIES = ("HARNESS_", "CCACHE_", "SLURM_", "FUZZ_")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# What each process needs of its limits, and what it gets where that is allowed; in the units of setrlimit(2).
_UNLIMITED = resource.RLIM_INFINITY
_LIMITS = {
    "open files (ulimit -n)": (resource.RLIMIT_NOFILE, 256, 1 << 20),
    "size of a file (ulimit -f)": (resource.RLIMIT_FSIZE, 4 << 30, _UNLIMITED),
    "CPU time (ulimit -t)": (resource.RLIMIT_CPU, 3600, _UNLIMITED),
    "memory (ulimit -v)": (resource.RLIMIT_AS, 4 << 30, _UNLIMITED),
    "data (ulimit -d)": (resource.RLIMIT_DATA, 1 << 30, _UNLIMITED),
    "stack (ulimit -s)": (resource.RLIMIT_STACK, 1 << 20, 8 << 20),
    "processes (ulimit -u)": (resource.RLIMIT_NPROC, 1000, _UNLIMITED),
    "size of a core file (ulimit -c)": (resource.RLIMIT_CORE, 0, 0),
}


@dataclass(frozen=True)
class Surroundings:
    """What one program is started in."""

    directory: Path  # it starts there, and may write there
    environment: Mapping[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    descriptors: int = 0  # the most that it may have open; 0 means as many as the harness
    raisable: int = 0  # it starts with this soft limit of them, and may raise it; 0 means as above
    closed: tuple[int, ...] = ()  # the standard descriptors that are closed when it starts
    nohup: bool = False  # SIGHUP is ignored when it starts, as nohup(1) does it
    room: int = 0  # the most bytes that each file it writes has room for: then the disk is full; 0 means any
    disturbance: Disturbance | None = None  # what the preloaded library is to do to it
    witness: Witness | None = None  # and what proves that its sanitizer works

    def command(self, argv: list[str]) -> list[str]:
        """The command that starts argv with these signals, so much room and these descriptors closed.

        A write that begins within the room takes what fits, and the next one fails: RLIMIT_FSIZE, with
        SIGXFSZ ignored; setrlimit(2).
        """
        ignored = ["HUP"] * self.nohup + ["XFSZ"] * bool(self.room)
        if not ignored and not self.closed:
            return argv
        traps = [f"trap '' {name}; " for name in ignored]
        limit = f"/usr/bin/prlimit --fsize={self.room} " if self.room else ""
        closing = "".join(f" {number}<&-" for number in self.closed)
        return ["/bin/sh", "-c", "".join(traps) + f'exec {limit}"$@"{closing}', "sh", *argv]


def settle() -> list[str]:
    """Makes what is around this process the same, however it was started; every command begins with it.

    Returns what a report should say of it. Throws CouldNotTell if something needed cannot be had.
    """
    _open_standard_descriptors()
    default_signals()
    os.umask(0o022)
    try:
        os.getcwd()
    except OSError:  # it was removed
        os.chdir("/")
    _speak()
    notes = _limit()
    wanted = os.environ.get("TMPDIR", "")
    _clean_environment()
    return notes + _choose_temporary_directory(wanted)


def _open_standard_descriptors() -> None:
    """Opens /dev/null for each standard descriptor that is closed: the next file opened would be stdout."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open("/dev/null", os.O_RDWR)  # the lowest number that is free, so this one


def default_signals() -> None:
    """Ignores and blocks no signal: a program inherits what nohup(1) or a shell's `&` left; signal(7)."""
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # those two are Python's own
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


class _Tolerant(io.TextIOWrapper):
    """A stream for what is told: results do not depend on it, so a reader that has gone ends nothing."""

    def write(self, text: str) -> int:
        with self._tolerating():
            super().write(text)
        return len(text)

    def flush(self) -> None:
        with self._tolerating():
            super().flush()

    @contextlib.contextmanager
    def _tolerating(self) -> Iterator[None]:
        try:
            yield
        except OSError:  # EPIPE, ENOSPC
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())


def _speak() -> None:
    """Gives stdout and stderr the encoding of the user's terminal; what it cannot say is a question mark."""
    encoding = locale.nl_langinfo(locale.CODESET)
    if encoding in ("", "ANSI_X3.4-1968", "US-ASCII"):  # the C locale says nothing of the terminal
        encoding = "utf-8"
    sys.stdout = _Tolerant(open(1, "wb", closefd=False), encoding, "replace", line_buffering=True)
    sys.stderr = _Tolerant(open(2, "wb", closefd=False), encoding, "replace", line_buffering=True)


def has_ipv6() -> bool:
    """Whether the loopback has an address of IPv6, as it has not in many containers."""
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET6) as tried:
        tried.bind(("::1", 0))
        return True
    return False


def _limit() -> list[str]:
    """Sets the limits of this process and its children."""
    notes = []
    for name, (which, needed, wanted) in _LIMITS.items():
        with contextlib.suppress(ValueError, OSError):  # only root may raise the hard limit
            resource.setrlimit(which, (wanted, max(wanted, resource.getrlimit(which)[1], key=_size)))
        hard = resource.getrlimit(which)[1]
        resource.setrlimit(which, (min(wanted, hard, key=_size), hard))
        if _size(hard) < needed:
            raise CouldNotTell(
                f"the limit of the {name} is {hard}, and {needed} are needed: start another shell"
            )
        if _size(hard) < _size(wanted) and which in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            notes.append(f"The limit of the {name} is {hard}: sanitizers may need more.")
    return notes


def _size(limit: int) -> float:
    return float("inf") if limit == _UNLIMITED else limit


def _clean_environment() -> None:
    """Leaves of the environment what changes no verdict; the rest has its fixed values."""
    before = dict(os.environ)
    kept = {name: value for name, value in before.items() if name in _KEPT or name.startswith(_KEPT_FAMILIES)}
    path = [place for place in before.get("PATH", "").split(":") if place.startswith("/")]
    path += [place for place in _PATH.split(":") if place not in path]
    os.environ.clear()
    os.environ.update(kept, PATH=":".join(path), LC_ALL="C.UTF-8", PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")


def _choose_temporary_directory(wanted: str) -> list[str]:
    """Sets TMPDIR to a directory where programs can run; returns why it is not the one wanted."""
    refused: list[str] = []
    for place in filter(None, dict.fromkeys([wanted, "/tmp", "/var/tmp"])):
        why = _unfit(place)
        if not why:
            os.environ["TMPDIR"] = tempfile.tempdir = os.path.abspath(place)
            return [f"TMPDIR: {refused[0]}: {place} is used."] if wanted and refused else []
        refused.append(f"{place} {why}")
    raise CouldNotTell(f"there is no directory where programs can run (TMPDIR): {'; '.join(refused)}")


def _unfit(place: str) -> str:
    """Why a directory cannot be used for programs; "" if it can."""
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        return f"cannot be written to ({error.strerror})"
    if os.statvfs(place).f_flag & os.ST_NOEXEC:
        return "is mounted noexec, so that no program can run there"
    # What is preloaded from there must have a path without them.
    return "has a blank or a colon in its name" if any(mark in place for mark in " :\t\n") else ""
