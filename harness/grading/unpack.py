"""Unpacks an archive that somebody made, without trusting it: plain files and directories, of bounded size.

A program, so that what a damaged or malicious archive does to memory it does to a process with limits:
unpack.py ARCHIVE DIRECTORY. Exit status 0; 1 if the archive is at fault, and 3 if the machine is, with a line
on stderr.
"""

from __future__ import annotations

import errno
import stat
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import IO

UNPACKED_BYTES, UNPACKED_FILES, UNPACKED_DEPTH = 64 << 20, 5000, 20  # a directory is a file, too
OUR_FAULT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO)


class Refused(Exception):
    """The archive is not unpacked, and why."""


class Target:
    """A directory that is unpacked into, and how much may still be."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.bytes, self.files = UNPACKED_BYTES, UNPACKED_FILES

    def write(self, name: str, source: IO[bytes]) -> None:
        """Makes one file. Throws Refused if its name leads out, or it is too much."""
        path = Path(name)
        if path.is_absolute() or ".." in path.parts or "\0" in name:
            raise Refused(f"the archive has the name {name[:200]!r}, which leads out of it")
        if len(path.parts) > UNPACKED_DEPTH:
            raise Refused(f"the archive holds directories in directories, {len(path.parts)} deep")
        target = self.directory / path
        for parent in reversed(path.parents[:-1]):
            if not (self.directory / parent).is_dir():
                self._count()
                (self.directory / parent).mkdir()
        self._count()
        with target.open("wb") as file:  # of a file that is there twice, the last counts
            while chunk := source.read(1 << 16):
                self.bytes -= len(chunk)
                if self.bytes < 0:
                    raise Refused(f"the archive unpacks to more than {UNPACKED_BYTES >> 20} MiB")
                file.write(chunk)

    def _count(self) -> None:
        self.files -= 1
        if self.files < 0:
            raise Refused(f"the archive holds more than {UNPACKED_FILES} files")


def pass_over(name: str) -> None:
    """Says that a link, or what else is no plain file, is not unpacked."""
    print(f"{name[:200]!r} is not a plain file, and was passed over.")


def unzip(archive: Path, target: Target) -> None:
    with zipfile.ZipFile(archive) as file:
        for entry in file.infolist():
            kind = stat.S_IFMT(entry.external_attr >> 16)
            name = entry.filename.replace("\\", "/")  # as some programs for Windows have it
            if name.endswith("/"):
                continue
            if kind not in (0, stat.S_IFREG):
                pass_over(entry.filename)
                continue
            with file.open(entry) as source:
                target.write(name, source)


def untar(archive: Path, target: Target) -> None:
    with tarfile.open(archive) as file:
        for entry in file:
            if entry.isdir():
                continue
            source = file.extractfile(entry) if entry.isreg() else None
            if source is None:
                pass_over(entry.name)
                continue
            target.write(entry.name, source)


def main() -> int:
    archive, directory = map(Path, sys.argv[1:])
    try:
        (unzip if archive.name.lower().endswith(".zip") else untar)(archive, Target(directory))
    except Refused as refused:
        print(str(refused)[:500], file=sys.stderr)
        return 1
    except (
        Exception
    ) as error:  # zlib.error, struct.error, LZMAError, …: nobody lists what damaged archives raise
        why = str(error) or type(error).__name__
        print(f"the archive cannot be unpacked: {why}"[:500], file=sys.stderr)
        return 3 if isinstance(error, OSError) and error.errno in OUR_FAULT else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
