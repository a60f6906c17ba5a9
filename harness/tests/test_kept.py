"""Verdicts of one's own tree are kept while nothing changes that they depend on, and never for a mark."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from releasing import students
from releasing.mistakes import patches

from grading.model import ROOT

LAB = "lab01_cas_stdin"
SEEN = re.compile(r"^ *1\.\d+  \w+ +[\d.]+/[\d.]+  (.*?)(  seen \d\d:\d\d)?$", re.MULTILINE)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student's repository of lab 1, solved, built and graded."""
    tree = tmp_path_factory.mktemp("kept") / "lab01"
    students.release("lab01", tree)
    for source in (ROOT / LAB).glob("*.?pp"):
        shutil.copy(source, tree / LAB)
    first = grade(tree)
    assert first
    assert not any(first.values()), "nothing is known before the first run"
    return tree


def grade(tree: Path, *options: str | Path) -> dict[str, bool]:
    """Grades the lab; returns for each check, in the order of the output, whether its verdict was kept."""
    run = subprocess.run(
        [tree / "harness" / "grade", "lab01", *options], capture_output=True, text=True, timeout=300
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert ("AGAIN=1" in run.stdout) == any(seen for _, seen in SEEN.findall(run.stdout))
    return {title: bool(seen) for title, seen in SEEN.findall(run.stdout)}


def programs(tree: Path) -> dict[str, list[str]]:
    tests = json.loads((tree / "build" / "grade" / "results.json").read_text())["tests"]
    return {test["name"]: test["extra_data"]["programs"] for test in tests}


def test_what_has_not_changed_keeps_its_verdict(release: Path) -> None:
    assert all(grade(release).values())
    assert not any(grade(release, "--again").values())


def test_a_changed_program_is_judged_first_and_alone(release: Path) -> None:
    grade(release)
    source = release / LAB / "stdin_cas_regex.cpp"
    source.write_text(source.read_text() + "\nint unused_by_all = 1;\n")
    told = grade(release)
    concerned = {title for title, started in programs(release).items() if "stdin_cas_regex" in started}
    assert concerned and concerned != set(told)
    assert {title for title, seen in told.items() if not seen} == concerned
    assert set(list(told)[: len(concerned)]) == concerned


def test_a_failure_is_kept_with_its_story(release: Path, tmp_path: Path) -> None:
    tree = tmp_path / "lab01"
    shutil.copytree(release, tree)
    for name, content in patches("lab01")[0].files.items():
        (tree / LAB / name).write_text(content)
    command: list[str | Path] = [tree / "harness" / "grade", "lab01", "--timelines", "0", "--long"]
    runs = [subprocess.run(command, capture_output=True, text=True, timeout=300) for _ in "ab"]
    assert runs[0].returncode == runs[1].returncode == 1
    first, second = (
        re.findall(r"^lab01 · .*?Likely cause.*?$", run.stdout, re.DOTALL | re.MULTILINE) for run in runs
    )
    assert sorted(first) == sorted(second) != []
    assert "  Seen " in runs[1].stdout and "  Seen " not in runs[0].stdout


@pytest.mark.parametrize("name", ["harness/checks/test_lab01_cas_stdin.py", "harness/labkit/waiting.py"])
def test_another_harness_judges_anew(name: str, release: Path, tmp_path: Path) -> None:
    tree = tmp_path / "lab01"
    shutil.copytree(release, tree)
    grade(tree)
    (tree / name).write_text((tree / name).read_text() + "\n# another one\n")
    assert not any(grade(tree).values())


def test_for_a_mark_nothing_is_kept(release: Path, tmp_path: Path) -> None:
    assert not any(grade(release, "--submission", release, "--trust", "--out", tmp_path / "out").values())
    assert not any(grade(release, "--submission", release, "--trust").values())
    assert not any(grade(release, "--out", tmp_path / "out").values())


def test_watching_tells_first_what_was_changed(release: Path, tmp_path: Path) -> None:
    grade(release)
    source = release / LAB / "stdin_cas_regex.cpp"
    log = tmp_path / "log"
    with log.open("w") as output, subprocess.Popen(
        [release / "harness" / "watch", "lab01"], stdout=output
    ) as watch, ExitStack() as at_the_end:
        at_the_end.callback(watch.kill)
        until(lambda: "Watching" in log.read_text())
        source.write_text(source.read_text() + "\nint changed_again = 1;\n")
        before = len(log.read_text())
        until(lambda: SEEN.search(log.read_text()[before:]))
        until(lambda: log.read_text().count("Watching") == 2)
        watch.send_signal(signal.SIGINT)
        assert watch.wait(30) == 0
    told = [(title, bool(seen)) for title, seen in SEEN.findall(log.read_text()[before:])]
    concerned = {title for title, started in programs(release).items() if "stdin_cas_regex" in started}
    assert {title for title, seen in told if not seen} == concerned
    assert told[0][0] in concerned


def until(fact: object) -> None:
    assert callable(fact)
    end = time.monotonic() + 120
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.05)
