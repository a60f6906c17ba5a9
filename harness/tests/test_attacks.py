"""Submissions that attack the grader: each gets its verdict, nothing is left of it, and nobody else notices."""

from __future__ import annotations

import concurrent.futures
import json
import os
import re
import socket
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent
ATTACKS = sorted((HARNESS / "attacks").glob("*.cpp"))
SECRET = "the secret that no submission reads 5c1e7\n"

sys.path.insert(0, str(HARNESS))
from grading.world import probe  # noqa: E402
from labkit.box import USERS  # noqa: E402

pytestmark = pytest.mark.skipif(probe() > 2, reason="this machine cannot isolate: harness/doctor says why")


@dataclass
class Surroundings:
    """What the attacks aim at, and must not reach."""

    directory: Path
    secret: Path
    listener: socket.socket

    def fill_in(self, source: str, out: Path) -> str:
        values = {
            "SECRET": self.secret,
            "RESULTS": out / "results.json",
            "REFERENCE": ROOT / "lab02_tcp_iterative" / "upper_server.cpp",
            "PORT": self.listener.getsockname()[1],
        }
        return re.sub(r"@(\w+)@", lambda match: str(values[match[1]]), source)


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    directory = tmp_path_factory.mktemp("attacks")
    secret = directory / "secret.txt"
    secret.write_text(SECRET)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        subprocess.run(["make", "-s", "-C", ROOT / "lab02_tcp_iterative", "-j2"], check=True)
        yield Surroundings(directory, secret, listener)


def grade(submission: Path, out: Path) -> tuple[int, dict[str, Any], str]:
    """Grades a submission in the best sandbox; returns exit status, results.json, and what was printed."""
    command = [HARNESS / "grade", "lab02", "--submission", submission, "--out", out, "--require-sandbox"]
    command += ["--checks", HARNESS / "tests" / "checks", "--check", "the_server_answers"]
    done = subprocess.run(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
    results = json.loads((out / "results.json").read_text()) if (out / "results.json").exists() else {}
    return done.returncode, results, done.stdout.decode(errors="replace")


def attack(source: Path, surroundings: Surroundings) -> tuple[int, dict[str, Any], str]:
    submission = surroundings.directory / source.stem / "lab02_tcp_iterative"
    submission.mkdir(parents=True)
    out = surroundings.directory / source.stem / "out"
    text = source.read_text().replace('#include "serve.hpp"\n', (HARNESS / "attacks" / "serve.hpp").read_text())
    (submission / "upper_server.cpp").write_text(surroundings.fill_in(text, out))
    (submission / "Makefile").write_text("$(shell echo 100 > /tmp/pwned)\nall:\n\techo 100 > /tmp/pwned\n")
    (submission / "conftest.py").write_text("raise SystemExit(0)\n")
    return grade(submission.parent, out)


@pytest.fixture(scope="module")
def outcomes(surroundings: Surroundings) -> dict[str, tuple[int, dict[str, Any], str]]:
    """All attacks, some at a time."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        return dict(zip([path.stem for path in ATTACKS], pool.map(lambda path: attack(path, surroundings), ATTACKS)))


@pytest.mark.parametrize("source", ATTACKS, ids=lambda path: path.stem)
def test_the_attack_gets_its_verdict(source: Path, outcomes: dict[str, tuple[int, dict[str, Any], str]]) -> None:
    status, results, printed = outcomes[source.stem]
    expected = re.search(r"^// Expect: (\w+) ?(.*)$", source.read_text(), re.MULTILINE)
    assert expected is not None
    assert results, printed  # it was graded at all
    (test,) = results["tests"]
    assert test["extra_data"]["verdict"] == expected[1], printed
    if expected[2]:
        assert test["extra_data"]["cause"] in expected[2].split("|"), printed
    assert status == {"pass": 0, "fail": 1}[expected[1]]
    assert SECRET.strip() not in printed + json.dumps(results)
    assert "root:" not in printed, "the password file is in the report"
    assert "\x1b" not in printed and "\x1b" not in test["output"]


def test_nothing_is_left_of_the_attacks(
    outcomes: dict[str, tuple[int, dict[str, Any], str]], surroundings: Surroundings
) -> None:
    assert len(outcomes) == len(ATTACKS)
    theirs = [p for p in psutil.process_iter(["uids", "cmdline"]) if p.info["uids"] and p.info["uids"].real in USERS]
    assert not theirs, "processes are left"
    assert surroundings.secret.read_text() == SECRET
    assert not Path("/tmp/pwned").exists(), "a submission's Makefile was run"
    with pytest.raises(BlockingIOError):
        surroundings.listener.accept()


def test_an_honest_submission_after_them_has_full_marks(
    outcomes: dict[str, tuple[int, dict[str, Any], str]], tmp_path: Path
) -> None:
    submission = tmp_path / "lab02_tcp_iterative"
    submission.mkdir()
    text = (ROOT / "lab02_tcp_iterative" / "upper_server.cpp").read_text()
    (submission / "upper_server.cpp").write_text(text + "// honest\n")
    for name in ("cas_server_lines.cpp", "echo_server.cpp", "line_buffer.hpp", "framing.hpp"):
        source = ROOT / "lab02_tcp_iterative" / name
        if source.exists():
            (submission / name).write_bytes(source.read_bytes())
    status, results, printed = grade(tmp_path, tmp_path / "out")
    assert status == 0 and results["score"] == 60, printed


# --- archives


def graded_class(submissions: Path, out: Path) -> dict[str, str]:
    """Grades a class; returns state by name."""
    run = subprocess.run(
        [HARNESS / "grade-class", submissions, "--out", out, "--labs", "lab02"], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr
    states = {}
    for place in (out / "students").iterdir():
        results = json.loads((place / "results.json").read_text())
        states[place.name] = results["extra_data"].get("not_graded", "graded")
    return states


def test_archives_are_unpacked_with_care(tmp_path: Path) -> None:
    """Names that lead out, links, devices and bombs: each is a row that says why, and nothing lands outside."""
    submissions = tmp_path / "class"
    submissions.mkdir()
    with zipfile.ZipFile(submissions / "dotdot.zip", "w") as file:
        file.writestr("../../../evil.txt", "x")
    with zipfile.ZipFile(submissions / "absolute.zip", "w") as file:
        file.writestr("/tmp/evil.txt", "x")
    with zipfile.ZipFile(submissions / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("lab02_tcp_iterative/upper_server.cpp", b"\0" * (200 << 20))
    with zipfile.ZipFile(submissions / "many.zip", "w") as file:
        for number in range(6000):
            file.writestr(f"{number}", "")
    for name, kind in (("symlink", tarfile.SYMTYPE), ("hardlink", tarfile.LNKTYPE), ("fifo", tarfile.FIFOTYPE), ("device", tarfile.CHRTYPE)):
        with tarfile.open(submissions / f"{name}.tar.gz", "w:gz") as file:
            entry = tarfile.TarInfo("lab02_tcp_iterative/upper_server.cpp")
            entry.type, entry.linkname = kind, str(ROOT / "lab02_tcp_iterative" / "upper_server.cpp")
            file.addfile(entry)
    (submissions / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (submissions / "empty").mkdir()
    (submissions / "linked" / "lab02_tcp_iterative").mkdir(parents=True)
    os.symlink(ROOT / "lab02_tcp_iterative/upper_server.cpp", submissions / "linked/lab02_tcp_iterative/upper_server.cpp")
    (submissions / "waiting" / "lab02_tcp_iterative").mkdir(parents=True)
    os.mkfifo(submissions / "waiting/lab02_tcp_iterative/upper_server.cpp")
    strange = "a\nname\x1b[31m<script>"
    (submissions / strange).mkdir()
    states = graded_class(submissions, tmp_path / "out")
    assert len(states) == 13
    assert not [name for name, state in states.items() if state == "graded"], states
    for name, words in {"dotdot": "leads out", "absolute": "leads out", "bomb": "MiB", "many": "files",
                        "symlink": "not a plain file", "linked": "only plain files", "waiting": "not a plain file"}.items():  # fmt: skip
        assert words in states[name], (name, states[name])
    assert not list(tmp_path.rglob("evil.txt")) and not Path("/tmp/evil.txt").exists()
    page = (tmp_path / "out" / "class.html").read_text()
    table = (tmp_path / "out" / "grades.csv").read_text()
    assert "<script>" not in page and "\x1b" not in page + table
