"""Checks that run side by side: in order all the same, and when the run is ended, nothing of it is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_ladder import HARNESS, leftovers, write_lab

CHECKS = """\
import os, signal, time
from pathlib import Path
from labkit import Lab, check, expect, wait_until

HERE = Path({here!r})

def meet(me: str, other: str) -> None:
    (HERE / me).touch()
    wait_until((HERE / other).exists, f"{{other}} runs, too")

"""
WAITS = (
    "#!/usr/bin/python3 -IS\nimport os, signal, sys\nos.fork()\nprint('PID:', os.getpid(), flush=True)\n"
    "signal.pause()\n"
)


def command(tmp_path: Path, body: str, *options: str) -> list[str]:
    """The grader's command for a lab that has a program which waits for ever, and these checks."""
    write_lab(tmp_path, "upper_client", WAITS)
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_lab02_own.py").write_text(CHECKS.format(here=str(tmp_path)) + body)
    words = [
        HARNESS / "grade",
        "lab02",
        "--tree",
        tmp_path,
        "--checks",
        checks,
        "--out",
        tmp_path / "out",
        *options,
    ]
    return list(map(str, words))


def graded(tmp_path: Path) -> dict[str, tuple[str, bool]]:
    """Each check's verdict, and whether it was run; in the order of results.json."""
    tests: list[dict[str, Any]] = json.loads((tmp_path / "out" / "results.json").read_text())["tests"]
    return {
        test["extra_data"]["check"]: (test["extra_data"]["verdict"], test["extra_data"]["attempts"] > 0)
        for test in tests
    }


MEETING = """
@check(points=50, read="x")
def test_first(lab: Lab) -> None:
    meet("first", "second")
    time.sleep(0.5)

@check(points=50, read="x")
def test_second(lab: Lab) -> None:
    meet("second", "first")
"""


def test_two_run_at_once_and_are_told_in_order(tmp_path: Path) -> None:
    run = subprocess.run(
        command(tmp_path, MEETING, "--jobs", "2"), capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stdout
    assert run.stdout.index("first") < run.stdout.index("second")
    assert list(graded(tmp_path)) == ["first", "second"]


def test_one_at_a_time_do_not_meet(tmp_path: Path) -> None:
    run = subprocess.run(
        command(tmp_path, MEETING, "--jobs", "1"), capture_output=True, text=True, timeout=120
    )
    assert graded(tmp_path)["first"] == ("fail", True), run.stdout


FAILING = """
@check(points=20, read="x")
def test_passes(lab: Lab) -> None:
    pass

@check(points=30, read="x")
def test_fails_late(lab: Lab) -> None:
    wait_until((HERE / "failed").exists, "the other one has failed")
    time.sleep(0.3)
    expect(False, "the first in order")

@check(points=30, read="x")
def test_fails_early(lab: Lab) -> None:
    (HERE / "failed").touch()
    expect(False, "the first in time")

@check(points=20, read="x")
def test_comes_last(lab: Lab) -> None:
    (HERE / "last").touch()
    lab.start("upper_client").expect_exit()
"""


def test_the_first_failure_is_the_first_in_order(tmp_path: Path) -> None:
    words = command(tmp_path, FAILING, "--jobs", "3", "--first-failure", "--quiet")
    run = subprocess.run(words, capture_output=True, text=True, timeout=120)
    expected = {
        "passes": ("pass", True),
        "fails_late": ("fail", True),
        "fails_early": ("could not tell", False),
        "comes_last": ("could not tell", False),
    }
    assert graded(tmp_path) == expected
    assert "the first in order" in run.stdout
    assert "the first in time" not in run.stdout
    assert not leftovers(tmp_path)


def test_a_check_that_takes_the_harness_down_is_one_that_could_not_be_told(tmp_path: Path) -> None:
    body = """
@check(points=50, read="x")
def test_dies(lab: Lab) -> None:
    lab.start("upper_client").expect_match("PID")
    os.kill(os.getpid(), signal.SIGKILL)

@check(points=50, read="x")
def test_goes_on(lab: Lab) -> None:
    pass
"""
    run = subprocess.run(command(tmp_path, body), capture_output=True, text=True, timeout=120)
    assert run.returncode == 3, run.stdout
    assert graded(tmp_path) == {"dies": ("could not tell", True), "goes_on": ("pass", True)}
    assert not leftovers(tmp_path)


ENDLESS = """
@check(points=50, read="x")
def test_passes(lab: Lab) -> None:
    pass

@check(points=25, read="x")
def test_waits(lab: Lab) -> None:
    lab.start("upper_client").expect_match("PID")
    (HERE / "waits").touch()
    time.sleep(100)

@check(points=25, read="x")
def test_waits_too(lab: Lab) -> None:
    lab.start("upper_client").expect_match("PID")
    (HERE / "waits too").touch()
    time.sleep(100)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_run_that_is_ended_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    words = command(tmp_path, ENDLESS, "--jobs", "2")
    with subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(scratch)}
    ) as grader:
        until(lambda: (tmp_path / "waits").exists() and (tmp_path / "waits too").exists())
        workers = psutil.Process(grader.pid).children()
        assert len(workers) == 2
        assert len(leftovers(tmp_path)) >= 4  # both programs with their children
        grader.send_signal(number)
        grader.wait(30)
        until(lambda: not any(map(lives, workers)))
        assert grader.returncode in (-number, 128 + number)
    if number != signal.SIGKILL:  # nobody is left to kill what the programs have forked, or to remove files
        assert not leftovers(tmp_path)
        assert not list(scratch.iterdir())
    for pid in leftovers(tmp_path):
        os.kill(pid, signal.SIGKILL)
    assert graded(tmp_path)["passes"] == ("pass", True)


def lives(process: psutil.Process) -> bool:
    """Whether it runs; a zombie does not: perhaps this process has adopted it, and reaps it later."""
    try:
        return process.is_running() and bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def until(fact: Any) -> None:
    end = time.monotonic() + 30
    while not fact():
        assert time.monotonic() < end
        time.sleep(0.02)


FAILURES = """
@check(points=40, read="x")
def test_one(lab: Lab) -> None:
    expect(False, "the first claim")

@check(points=30, read="x")
def test_two(lab: Lab) -> None:
    expect(False, "the second claim", otherwise="quite another thing")

@check(points=30, read="x")
def test_three(lab: Lab) -> None:
    pass
"""


@pytest.mark.parametrize("colour", [True, False])
def test_a_person_reads_the_first_failure_whole_and_the_others_in_a_line(
    colour: bool, tmp_path: Path
) -> None:
    words = command(tmp_path, FAILURES, "--timelines", "0")
    environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    environment |= {} if colour else {"NO_COLOR": "1"}
    said = on_a_terminal(words, environment)
    assert ("\x1b[" in said) == colour
    plain = re.sub(r"\x1b\[\d*m", "", said)
    assert plain.count("the first claim") == 1
    assert plain.count("the second claim: quite another thing") == 1
    assert plain.count("quite another thing") == 1
    assert [len(re.findall(rf"(?:^|\s){name}\b", plain)) for name in ("one", "two", "three")] == [1, 1, 1]
    assert "report.html" in plain.splitlines()[-1]


def on_a_terminal(words: list[str], environment: dict[str, str]) -> str:
    """Runs a command in a terminal of its own; returns what it printed there; pty(7)."""
    ours, theirs = os.openpty()
    with subprocess.Popen(words, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b""
        try:
            while chunk := os.read(ours, 1 << 16):
                said += chunk
        except OSError:  # EIO: nobody has the terminal open any more
            pass
        process.wait(60)
    os.close(ours)
    return said.decode().replace("\r\n", "\n")
