"""Builds a lab with its Makefile, and remembers which programs the compiler refused and why."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from .box import Box
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

BUILD_SECONDS = 900  # that a build may take: one that waits for ever uses no CPU time that could be limited

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

    def path(self, program: str) -> Path:
        return self.directory / self.variant / program


def build(directory: Path, variant: str = "", jobs: int = 2, box: Box | None = None) -> Build:
    """Builds all programs of a lab's directory, plain or sanitized (variant "asan" or "tsan")."""
    return make(directory, variant, variant or "all", jobs, box)


def make(directory: Path, variant: str, target: str, jobs: int = 1, box: Box | None = None) -> Build:
    """Runs `make -k TARGET` in the box. A program that no longer compiles is removed: nothing stale is ever
    judged.
    """
    box = box or Box()
    command = ["/usr/bin/make", "-k", f"-j{jobs}", "-C", str(directory), "--no-print-directory", target]
    inherited = os.environ if box.tier == 4 else {"PATH": "/usr/bin:/bin"}
    environment = {key: value for key, value in inherited.items() if not key.startswith("MAKE")} | {
        "LC_ALL": "C.UTF-8"
    }
    with tempfile.TemporaryFile() as output, box.lent(directory / variant):
        around = Surroundings(directory, environment)
        process = box.start(command, around, stdout=output, stderr=output, ends_alone=False)
        late = ""
        status = process.wait(BUILD_SECONDS)
        if status is None:
            late = f"more than {BUILD_SECONDS} s"
            process.kill()
            status = process.wait()
        output.seek(0)
        log = output.read(1 << 20).decode(errors="replace")
    result = Build(directory, variant, log=log)
    for name in {Path(refused).name for refused in _REFUSED.findall(result.log)}:
        if not (directory / f"{name}.cpp").is_file():
            continue  # not make's words, but those of a source that makes the compiler print them
        result.errors[name] = _first_error(result.log, name)
        result.path(name).unlink(missing_ok=True)
    if status not in (0, 2) or (status == 2 and not result.errors):  # 2: some target failed
        result.errors[""] = [*result.log.splitlines()[-6:], _why_unfinished(late or box.too_much(), status)]
    return result


def dependencies(directory: Path) -> dict[str, set[str]]:
    """The compiler's own lists (*.d): each program that was built here, to the files that it is made of."""
    return {
        listing.stem: set(listing.read_text().replace("\\\n", " ").split())
        for listing in directory.glob("*.d")
    }


def forget_built(directory: Path, changed: set[str]) -> None:
    """Removes the programs that depend on the changed files, and those of which nobody knows on what they
    depend.
    """
    made_of = dependencies(directory)
    sources = changed | {path.name for path in directory.glob("*.cpp")}
    for program in {Path(name).stem for name in sources} | set(made_of):
        if program not in made_of or changed & made_of[program]:
            (directory / program).unlink(missing_ok=True)
            (directory / f"{program}.d").unlink(missing_ok=True)


def _why_unfinished(too_much: str, status: int | None) -> str:
    """What make does not say when it is killed together with the compiler."""
    return (
        f"the build took too much ({too_much}), and was killed"
        if too_much
        else f"make ended with status {status}"
    )


def _first_error(log: str, program: str) -> list[str]:
    """The first error of the compiler that speaks of the program's source, with the lines that show it."""
    lines = log.splitlines()
    source = re.compile(rf"(^|/){re.escape(program)}\.cpp[:,]")
    about = next((i for i, line in enumerate(lines) if source.search(line) and "error" in line), None)
    if about is None:  # the error is in a header: the first one after the mention of the source
        mention = next((i for i, line in enumerate(lines) if source.search(line)), 0)
        about = next((i for i in range(mention, len(lines)) if ": error: " in lines[i]), mention)
    return [line for line in lines[about : about + 4] if not line.startswith("make: ")]
