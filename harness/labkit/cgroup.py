"""A control group for a check's programs: the kernel counts their memory, its own for them included;
cgroups(7).

Where the harness may make one: as root, or in a group that was delegated to it (systemd-run --user --scope -p
Delegate=yes).
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

MOUNTED = Path("/sys/fs/cgroup")


class Group:
    """A group of its own, with a limit of its own. `directory` is where the kernel shows it."""

    def __init__(self, directory: Path, limit: int) -> None:
        self.directory = directory
        if (directory / "memory.max").exists():  # version 2
            (directory / "memory.max").write_text(str(limit))
            self._set("memory.swap.max", "0")
            self._set("memory.oom.group", "1")
            self._events = directory / "memory.events"
        elif not (directory / "memory.limit_in_bytes").exists():
            raise FileNotFoundError(f"{directory} has no limit for memory")
        else:
            (directory / "memory.limit_in_bytes").write_text(str(limit))
            self._set("memory.memsw.limit_in_bytes", str(limit))
            # Else what TCP has buffered is counted nowhere.
            self._set("memory.kmem.tcp.limit_in_bytes", str(limit // 4))
            self._events = directory / "memory.oom_control"

    def _set(self, name: str, value: str) -> None:
        with contextlib.suppress(OSError):  # not every kernel has it
            (self.directory / name).write_text(value)

    def joining(self, argv: Sequence[str]) -> list[str]:
        """The command, in this group from its beginning."""
        return ["/bin/sh", "-c", 'echo $$ > "$0" && exec "$@"', str(self.directory / "cgroup.procs"), *argv]

    def members(self) -> list[int]:
        """The processes in it."""
        with contextlib.suppress(OSError):
            return [int(line) for line in (self.directory / "cgroup.procs").read_text().split()]
        return []

    def overflowed(self) -> bool:
        """Whether the kernel has killed some of it for its memory."""
        with contextlib.suppress(OSError):
            for line in self._events.read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == "oom_kill" and int(count) > 0:
                    return True
        return False

    def remove(self) -> None:
        """Removes it; throws OSError while a process is in it."""
        self.directory.rmdir()


def _parents() -> list[Path]:
    """Where a group might be made: in the harness's own, beside it (make_room), and at the top, which is
    root's.
    """
    found = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, own = line.split(":", 2)
        if controllers == "memory":
            found += [MOUNTED / "memory" / own.lstrip("/"), MOUNTED / "memory"]
        elif not controllers:
            mine = MOUNTED / own.lstrip("/")
            found += [mine, mine.parent, MOUNTED] if mine != MOUNTED else [MOUNTED]
    return found


def new_group(limit: int) -> Group | None:
    """A new group that holds so many bytes at most; None where none can be made."""
    for parent in _parents():
        with contextlib.suppress(OSError):
            directory = Path(tempfile.mkdtemp(prefix="lab-", dir=parent))
            try:
                return Group(directory, limit)
            except OSError:  # that controller is not this directory's
                directory.rmdir()
    return None


def make_room() -> None:
    """Lets a delegated group have groups: with members of its own it may have none that limit anything
    (version 2).
    """
    for parent in _parents():
        if not (parent / "cgroup.subtree_control").exists() or (
            parent / "cgroup.procs"
        ).read_text().split() != [str(os.getpid())]:
            continue
        with contextlib.suppress(OSError):
            (parent / "grader").mkdir(exist_ok=True)
            (parent / "grader" / "cgroup.procs").write_text(str(os.getpid()))
            (parent / "cgroup.subtree_control").write_text("+memory")
