"""Grades attacks, and tells whether each was held: for harness/doctor, and for the house's own tests."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import kernel
from labkit.processes import adopt_orphans

ATTACKS = Path(__file__).resolve().parent
HARNESS = ATTACKS.parent
LAB = "lab02_tcp_iterative"
SECRET = "the secret that no submission reads 5c1e7\n"

QUICK = ("reads_secrets", "writes_results", "reaches_the_host", "kills_everyone", "daemon", "fork_bomb")
NOT_HELD = {3: ("reaches_the_host",)}  # by tier: what it does not promise

_STATUS = {"pass": 0, "fail": 1}
_USERS = iter(range(64101, 65500))  # in tier 3, each attack has a user of its own

# As a container has them: processes that no outside one sees. What is left when the grading is over is told.
_CONTAINER = ["unshare", "--pid", "--ipc", "--mount-proc", "--fork", "--kill-child=SIGKILL", "--", "sh", "-c",
              '"$@"; status=$?; pgrep -u "$HARNESS_USER" -l | sed "s/^/LEFT: /"; exit $status', "sh"]  # fmt: skip


@dataclass
class Outcome:
    """How a grading went; `printed` is all it said."""

    status: int
    results: dict[str, Any]
    printed: str

    def complaint(self, source: Path) -> str:
        """"" if the attack got the verdict that its `// Expect:` line names, and nothing else."""
        expected = re.search(r"^// Expect: (\w+) ?(.*)$", source.read_text(), re.MULTILINE)
        assert expected is not None, source
        if not self.results:
            return f"it was not graded: {self.printed}"
        (test,) = self.results["tests"]
        verdict, cause = test["extra_data"]["verdict"], test["extra_data"]["cause"]
        if verdict != expected[1]:
            return f"the verdict is {verdict}"
        if expected[2] and cause not in expected[2].split("|"):
            return f"the cause is {cause}"
        if self.status != _STATUS[verdict]:
            return f"the exit status is {self.status}"
        said = self.printed + json.dumps(self.results)
        if SECRET.strip() in said or "root:" in self.printed:
            return "a file that is not its own is in the report"
        if "\x1b" in self.printed or "\x1b" in test["output"]:
            return "an escape sequence is in the report"
        return "processes are left" if "LEFT: " in self.printed else ""


@dataclass
class Surroundings:
    """What the attacks aim at, and must not reach. container: they are graded in tier 3, whatever the machine gives."""

    directory: Path
    listener: socket.socket
    container: bool = False

    @property
    def secret(self) -> Path:
        return self.directory / "secret.txt"

    def attack(self, source: Path) -> Outcome:
        """Makes a submission of an attack, and grades it."""
        submission, out = self.directory / source.stem / LAB, self.directory / source.stem / "out"
        submission.mkdir(parents=True)
        values = {
            "SECRET": self.secret,
            "RESULTS": out / "results.json",
            "REFERENCE": HARNESS.parent / LAB / "upper_server.cpp",
            "PORT": self.listener.getsockname()[1],
        }
        text = source.read_text().replace('#include "serve.hpp"\n', (ATTACKS / "serve.hpp").read_text())
        text = re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), text)
        (submission / "upper_server.cpp").write_text(text)
        (submission / "Makefile").write_text("$(shell echo 100 > /tmp/pwned)\nall:\n\techo 100 > /tmp/pwned\n")
        (submission / "conftest.py").write_text("raise SystemExit(0)\n")
        return self.grade(submission.parent, out)

    def grade(self, submission: Path, out: Path) -> Outcome:
        """Grades a submission in the sandbox."""
        command = [HARNESS / "grade", "lab02", "--submission", submission, "--out", out]
        command += ["--checks", HARNESS / "tests" / "checks", "--check", "the_server_answers"]
        words, environment = list(map(str, command)), os.environ | {"HARNESS_USER": str(next(_USERS))}
        if self.container:
            words, environment["HARNESS_TIER"] = [*_CONTAINER, *words], "3"
        done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        results = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
        return Outcome(done.returncode, results, done.stdout.decode(errors="replace"))

    def damage(self) -> list[str]:
        """What the attacks have left behind, although each had its verdict."""
        living = [member for member in kernel.family(os.getpid())[1:] if kernel.state(member) not in ("", "Z")]
        found = [f"pid {member} {kernel.command(member)} is left" for member in living]
        if self.secret.read_text() != SECRET:
            found.append("a file that is not theirs is changed")
        if Path("/tmp/pwned").exists():
            found.append("a submission's Makefile was run")
        return found


@contextmanager
def surroundings(directory: Path, container: bool = False) -> Iterator[Surroundings]:
    """A secret file, a listener on the loopback, and a parent for whatever survives its own."""
    adopt_orphans()
    (directory / "secret.txt").write_text(SECRET)
    subprocess.run(["make", "-s", "-C", HARNESS.parent / LAB, "-j2"], check=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Surroundings(directory, listener, container)
