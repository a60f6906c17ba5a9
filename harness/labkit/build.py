"""Builds a lab with its Makefile, and remembers which programs the compiler refused and why."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from .box import BUILD_FILE_SIZE, Box
from .sanitizers import UNSEEN
from .surroundings import Surroundings

LABS = {
    "lab01": "lab01_cas_stdin",
    "lab02": "lab02_tcp_iterative",
    "lab03": "lab03_udp",
    "lab04": "lab04_fork",
    "lab05": "lab05_select",
    "lab06": "lab06_threads",
    "lab07": "lab07_prefork",
    "lab08": "lab08_misc",
}

LINE = 300  # characters of one of the compiler's lines that are told
BUILD_SECONDS = 900  # that a build may take: one that waits for ever uses no CPU time that could be limited

_OF_A_BUILD = ("PATH", "HOME", "TMPDIR", "CCACHE_")

_REFUSED = re.compile(r"^make: \*\*\* \[[^\]]*: (\S+)\] ", re.MULTILINE)


@dataclass
class Build:
    """A lab's directory after make: `errors` has, for each program that was not built, the compiler's first
    error.
    """

    directory: Path
    variant: str = ""  # "asan" or "tsan": the sub-directory with the sanitized programs
    errors: dict[str, list[str]] = field(default_factory=dict)
    log: str = ""
    on_demand: bool = False  # nothing has been built yet: each program is, when it is asked for

    def path(self, program: str) -> Path:
        return self.directory / self.variant / program


def build(directory: Path, variant: str = "", jobs: int = 2, box: Box | None = None) -> Build:
    """Builds all programs of a lab's directory, plain or sanitized (variant "asan" or "tsan")."""
    return make(directory, variant, variant or "all", jobs, box)


def make(directory: Path, variant: str, target: str, jobs: int = 1, box: Box | None = None) -> Build:
    """Runs `make -k TARGET` in the box.

    Nothing stale is ever judged: a program that was not built of its files as they are now is removed first.
    """
    box = replace(box, traces=None) if box else Box()  # a compiler is nothing to look at
    command = ["/usr/bin/make", "-k", f"-j{jobs}", "-C", str(directory), "--no-print-directory", target]
    if variant == "tsan":
        command.append(f"CXX=g++ {' '.join(UNSEEN)}")
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C"}
    if box.tier == 4:  # one's own compiler, perhaps, and its cache
        environment |= {name: value for name, value in os.environ.items() if name.startswith(_OF_A_BUILD)}
    # Programs can be built at the same time, but for a box the directory is lent to one build alone.
    only = Path(target).name if (directory / f"{Path(target).name}.cpp").is_file() else ""
    with _alone(directory, only if box.tier == 4 else ""), tempfile.TemporaryFile() as output:
        files = contents(directory)
        forget_stale(directory, variant, files, only)
        with box.lent(directory / variant):
            around = Surroundings(directory, environment)
            process = box.start(
                command, around, stdout=output, stderr=output, ends_alone=False, file_size=BUILD_FILE_SIZE
            )
            status = process.wait(BUILD_SECONDS)
            late = f"more than {BUILD_SECONDS} s" if status is None else ""
            if status is None:
                process.kill()
                status = process.wait()
        output.seek(0)
        said = output.read(1 << 20)
        rest = os.fstat(output.fileno()).st_size - len(said)
        output.seek(-min(rest, 1 << 16), os.SEEK_END)  # its end says what was not built
        log = (said + output.read(1 << 16)).decode(errors="replace")
        result = Build(directory, variant, log=log)
        for name in {Path(refused).name for refused in _REFUSED.findall(result.log)}:
            if not (directory / f"{name}.cpp").is_file():
                continue  # not make's words, but those of a source that makes the compiler print them
            result.errors[name] = _first_error(result.log, name)
            result.path(name).unlink(missing_ok=True)
        remember_built(directory, variant, files, only)
    if status not in (0, 2) or (status == 2 and not result.errors):  # 2: some target failed
        why = _why_unfinished(late, box, status)
        result.errors[""] = [*(line[:LINE] for line in result.log.splitlines()[-6:]), why]
    return result


# --- what a program was built from

_DIGEST = "# Built from "  # the last line of a program's list of dependencies, which is a comment to make


@contextlib.contextmanager
def _alone(directory: Path, program: str = "") -> Iterator[None]:
    """While the block runs, no other grader builds in the directory, or only other programs than this one."""
    with contextlib.ExitStack() as held:
        for path, kind in (directory, fcntl.LOCK_SH if program else fcntl.LOCK_EX), (
            directory / f"{program}.cpp",
            fcntl.LOCK_EX,
        ):
            if program or path == directory:
                descriptor = os.open(path, os.O_RDONLY)
                held.callback(os.close, descriptor)
                fcntl.flock(descriptor, kind)
        yield


def is_current(directory: Path, variant: str, program: str, files: Mapping[str, str] | None = None) -> bool:
    """Whether a program is there, built of its files as they are now; files: what contents() says of them."""
    path = directory / variant / program
    files = contents(directory) if files is None else files
    return path.exists() and _is_built_from(files, path.with_suffix(".d"))


def dependencies(directory: Path, variant: str = "") -> dict[str, set[str]]:
    """The compiler's own lists (*.d): each program that was built here, to the files that it is made of."""
    return {listing.stem: set(_words(listing)) for listing in (directory / variant).glob("*.d")}


def _words(listing: Path) -> list[str]:
    """The files in a list of dependencies, without the programs that are made of them."""
    lines = listing.read_text(errors="replace").replace("\\\n", " ").splitlines()
    words = " ".join(line for line in lines if not line.startswith("#")).split()
    return [word for word in words if not word.endswith(":")]


def contents(directory: Path) -> dict[str, str]:
    """The files that the programs of a lab are made of: name to a digest of what it holds."""
    files = [directory / "Makefile", *directory.glob("*.?pp")]
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in files if path.is_file()}


def forget_stale(directory: Path, variant: str, files: Mapping[str, str], only: str = "") -> None:
    """Removes the programs (or this one) not built of these files, by content: clocks may be wrong."""
    for source in directory.glob(f"{only or '*'}.cpp"):
        program = directory / variant / source.stem
        listing = program.with_suffix(".d")
        if program.exists() and not _is_built_from(files, listing):
            program.unlink()
        if not program.exists():
            listing.unlink(missing_ok=True)


def remember_built(directory: Path, variant: str, files: Mapping[str, str], only: str = "") -> None:
    """Notes, for each program (or this one) that has been built of these files, what they held."""
    for listing in (directory / variant).glob(f"{only or '*'}.d"):
        built = listing.with_suffix("").exists() and _DIGEST not in listing.read_text(errors="replace")
        if built and (digest := _digest(files, listing)):
            with listing.open("a") as file:
                file.write(f"{_DIGEST}{digest}\n")


def _is_built_from(files: Mapping[str, str], listing: Path) -> bool:
    digest = _digest(files, listing) if listing.is_file() else ""
    return bool(digest) and listing.read_text(errors="replace").endswith(f"{_DIGEST}{digest}\n")


def _digest(files: Mapping[str, str], listing: Path) -> str:
    """What the files hold that a program is made of, its Makefile included; "" if some are not known."""
    names = sorted({"Makefile", *_words(listing)})
    if not all(name in files for name in names):
        return ""
    return hashlib.sha256("".join(f"{name} {files[name]}\n" for name in names).encode()).hexdigest()


def _why_unfinished(late: str, box: Box, status: int | None) -> str:
    """What make does not say when it is killed together with the compiler."""
    killed = f"it took too much ({late}), and was killed" if late else box.killed()
    return f"the build: {killed}" if killed else f"make ended with status {status}"


def _first_error(log: str, program: str) -> list[str]:
    """The first error of the compiler that speaks of the program's source, with the lines that show it."""
    lines = log.splitlines()
    source = re.compile(rf"(^|/){re.escape(program)}\.cpp[:,]")
    about = next((i for i, line in enumerate(lines) if source.search(line) and "error" in line), None)
    if about is None:  # the error is in a header: the first one after the mention of the source
        mention = next((i for i, line in enumerate(lines) if source.search(line)), 0)
        about = next((i for i in range(mention, len(lines)) if ": error: " in lines[i]), mention)
    return [line[:LINE] for line in lines[about : about + 4] if not line.startswith("make: ")]
