"""Grades attacks, and tells whether each was held: for harness/doctor, and for the house's own tests."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labkit import kernel
from labkit.build import LABS, build
from labkit.processes import adopt_orphans

ATTACKS = Path(__file__).resolve().parent
HARNESS = ATTACKS.parent
LAB = "lab02_tcp_iterative"
SECRET = "the secret that no submission reads 5c1e7\n"

QUICK = ("reads_secrets", "writes_results", "reaches_the_host", "kills_everyone", "daemon", "fork_bomb")
# By tier: what it does not promise.
NOT_HELD = {3: ("reaches_the_host", "host_loopback", "outside", "other_processes", "command_of_init")}

_STATUS = {"pass": 0, "fail": 1}
_USERS = iter(range(64101, 65500))  # in tier 3, each attack has a user of its own

# As a container has them: processes that no outside one sees, and Docker's rights. What is left at the end is
# told.
_LEFT = """
"$@"; status=$?
pgrep -u "$HARNESS_USER" -l | sed "s/^/LEFT: /"
awk -v user="$HARNESS_USER" '$0 ~ " " user " " { print "LEFT: " FILENAME " " $0 }' /proc/sysvipc/*
find /dev/shm /tmp /var/tmp -maxdepth 1 -user "$HARNESS_USER" | sed "s/^/LEFT: /"
exit $status
"""
_CONTAINER = [
    "unshare",
    "--pid",
    "--ipc",
    "--mount-proc",
    "--fork",
    "--kill-child=SIGKILL",
    "--",
    "/usr/bin/python3",
    str(ATTACKS / "container.py"),
    "sh",
    "-c",
    _LEFT,
    "sh",
]
ORDINARY = 65501  # a user without any right, for tier 1
AS_ORDINARY = [
    "setpriv",
    f"--reuid={ORDINARY}",
    f"--regid={ORDINARY}",
    "--clear-groups",
    "--inh-caps=-all",
    "--",
]


@dataclass
class Outcome:
    """How a grading went; `printed` is all it said."""

    status: int
    results: dict[str, Any]
    printed: str

    def complaint(self, source: Path) -> str:
        """ "" if the attack got the verdict that its `// Expect:` line names, and nothing else."""
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


def in_one_file(source: Path) -> str:
    """The text of an attack, with the headers of this directory that it includes in their places."""
    return re.sub(
        r'^#include "(serve|forged_counts)\.hpp"\n',
        lambda match: (ATTACKS / f"{match[1]}.hpp").read_text(),
        source.read_text(),
        flags=re.MULTILINE,
    )


@dataclass(frozen=True)
class Trick:
    """A few lines that are to hide a mistake of the kill matrix."""

    name: str
    source: str
    mistake: str  # lab06/if_for_while
    patch: str
    file: str  # that both of them are in
    check: str  # which the mistake fails

    @classmethod
    def read(cls, path: Path) -> Trick:
        source = in_one_file(path)
        (mistake,) = re.findall(r"^// Mistake: (\S+)$", source, re.MULTILINE)
        patch = (HARNESS / "mistakes" / f"{mistake}.patch").read_text()
        (file,) = re.findall(r"^\+\+\+ b/(\S+)", patch, re.MULTILINE)
        (check,) = re.findall(r"^check: (\w+)", patch, re.MULTILINE)
        return cls(path.stem, source, mistake, patch, file, check)


@dataclass
class Surroundings:
    """What the attacks aim at, and must not reach. tier: 1 or 3 for root that grades there; 0: the best there
    is.
    """

    directory: Path
    listener: socket.socket
    tier: int = 0

    @property
    def secret(self) -> Path:
        return self.directory / "secret.txt"

    def attack(self, source: Path) -> Outcome:
        """Makes a submission of an attack, and grades it."""
        submission, out = self.directory / source.stem / LAB, self.directory / source.stem / "out"
        copy_of_reference(submission)
        (submission / "upper_server.cpp").write_text(self._filled_in(source, out))
        (submission / "Makefile").write_text(
            "$(shell echo 100 > /tmp/pwned)\nall:\n\techo 100 > /tmp/pwned\n"
        )
        (submission / "conftest.py").write_text("raise SystemExit(0)\n")
        return self.grade(submission.parent, out)

    def _filled_in(self, source: Path, out: Path) -> str:
        values = {
            "SECRET": self.secret,
            "RESULTS": out / "results.json",
            "REFERENCE": HARNESS.parent / LAB / "upper_server.cpp",
            "LABS": HARNESS.parent,
            "PORT": self.listener.getsockname()[1],
        }
        return re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), in_one_file(source))

    def probe(self) -> dict[str, str]:
        """Grades attacks/probes; returns the answers to each attack and each `control`."""
        submission, out = self.directory / "probes" / LAB, self.directory / "probes" / "out"
        copy_of_reference(submission)
        (submission / "upper_server.cpp").write_text(
            self._filled_in(ATTACKS / "probes" / "upper_server.cpp", out)
        )
        outcome = self.grade(submission.parent, out, checks="probes", names=["the_probes_answer"])
        assert outcome.results, outcome.printed
        (test,) = outcome.results["tests"]
        return {
            step["text"]: step["outcome"]
            for step in test["extra_data"]["steps"]
            if re.fullmatch(r"(control )?\w+", step["text"])
        }

    def tricks(self, lab: str) -> dict[str, str]:
        """Grades a lab with the mistakes that attacks/tricks hide in it, each in a file of its own; returns
        the verdicts. Those in the same file come one after the other.
        """
        build(HARNESS.parent / LABS[lab])
        waiting = [trick for trick in map(Trick.read, sorted((ATTACKS / "tricks").glob("*.cpp")))]
        waiting = [trick for trick in waiting if trick.mistake.startswith(lab)]
        verdicts: dict[str, str] = {}
        while waiting:
            by_file = {trick.file: trick for trick in reversed(waiting)}
            now = [trick for trick in waiting if trick is by_file[trick.file]]
            waiting = [trick for trick in waiting if trick not in now]
            verdicts |= self._tricks_at_once(lab, now, self.directory / f"tricks-{lab}-{len(waiting)}")
        return verdicts

    def _tricks_at_once(self, lab: str, tricks: list[Trick], submission: Path) -> dict[str, str]:
        copy_of_reference(submission / LABS[lab])
        for trick in tricks:
            command = ["patch", "-s", "-p1", "-d", str(submission)]
            subprocess.run(command, input=trick.patch, text=True, check=True)
            path, once = submission / trick.file, "#pragma once\n" if trick.file.endswith(".hpp") else ""
            path.write_text(once + trick.source + path.read_text().replace(once, "", 1))
        checks = list(dict.fromkeys(trick.check for trick in tricks))
        outcome = self.grade(submission, submission / "out", lab, checks="", names=checks)
        assert outcome.results, outcome.printed
        verdicts = {
            test["extra_data"]["check"]: test["extra_data"]["verdict"] for test in outcome.results["tests"]
        }
        return {trick.name: verdicts[trick.check] for trick in tricks}

    def grade(
        self,
        submission: Path,
        out: Path,
        lab: str = "lab02",
        checks: str = "checks",
        names: Sequence[str] = ("the_server_answers",),
    ) -> Outcome:
        """Grades a submission in the sandbox. checks: a directory in harness/tests; the labs' own if it is
        empty.
        """
        command = [HARNESS / "grade", lab, "--submission", submission, "--out", out]
        command += ["--checks", HARNESS / "tests" / checks if checks else HARNESS / "checks"]
        words, environment = list(map(str, command)), os.environ.copy()
        words += [word for name in names for word in ("--check", name)]
        if self.tier == 3:
            words, environment["HARNESS_USER"] = [*_CONTAINER, *words], str(next(_USERS))
        elif self.tier == 1:
            words = [*AS_ORDINARY, *words]
            subprocess.run(["chown", "-R", f"{ORDINARY}:{ORDINARY}", submission], check=True)
        done = subprocess.run(
            words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=900
        )
        results = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
        return Outcome(done.returncode, results, done.stdout.decode(errors="replace"))

    def damage(self) -> list[str]:
        """What the attacks have left behind, although each had its verdict."""
        living = [
            member for member in kernel.family(os.getpid())[1:] if kernel.state(member) not in ("", "Z")
        ]
        found = [f"pid {member} {kernel.command(member)} is left" for member in living]
        if self.secret.read_text() != SECRET:
            found.append("a file that is not theirs is changed")
        if Path("/tmp/pwned").exists():
            found.append("a submission's Makefile was run")
        return found


def copy_of_reference(directory: Path) -> None:
    """The sources of a lab in a new directory of its name: a program whose sources are as they were is not
    built again.
    """
    directory.mkdir(parents=True)
    for file in (HARNESS.parent / directory.name).glob("*.?pp"):
        shutil.copy(file, directory)


@contextmanager
def surroundings(directory: Path, tier: int = 0) -> Iterator[Surroundings]:
    """A secret file, a listener on the loopback, and a parent for whatever survives its own."""
    adopt_orphans()
    (directory / "secret.txt").write_text(SECRET)
    (directory / "secret.txt").chmod(0o600)
    if tier == 1:
        for path in (directory, directory / "secret.txt"):
            os.chown(path, ORDINARY, ORDINARY)
    build(HARNESS.parent / LAB)  # what an attack leaves as it is need not be built again for each
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield Surroundings(directory, listener, tier)
