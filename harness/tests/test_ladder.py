"""The grader against programs that behave badly: each gets the right verdict, the first rung that broke, and
dies.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import textwrap
import xml.etree.ElementTree as xml
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest


HARNESS = Path(__file__).resolve().parent.parent

# A well-behaved upper_server, line by line; each test below replaces some of it.
GOOD = {
    "start": "",
    "listen": "s = socket.create_server(('127.0.0.1', int(sys.argv[2]))); s.listen(50)",
    "greet": "print('listening on 127.0.0.1:%d' % s.getsockname()[1], flush=True)",
    "accept": "c, who = s.accept()",
    "answer": "c.sendall(data.upper())",
}

PROGRAM = """\
#!/usr/bin/python3 -IS
import os, signal, socket, sys, time
def stop(*_):
    print('Exiting', flush=True); os._exit(0)
before = signal.getsignal(signal.SIGINT)
signal.signal(signal.SIGINT, stop)
{start}
{listen}
{greet}
while True:
    {accept}
    while data := c.recv(1000):
        {answer}
    c.close()
"""


def write_lab(tree: Path, program: str, source: str) -> None:
    """Makes a tree with nothing but lab 2's directory in it, and there this program."""
    lab = tree / "lab02_tcp_iterative"
    lab.mkdir()
    (lab / "Makefile").write_text("all asan tsan:\n")
    (lab / program).write_text(source)
    (lab / program).chmod(0o755)


def grade(
    tmp_path: Path, check: str = "the_server_answers", around: Sequence[str] = (), **changes: str
) -> dict[str, Any]:
    """Grades the good server with these lines changed; returns the check's entry in results.json.

    around: a command that runs the grader.
    """
    lines = {
        name: textwrap.indent(text, "    ").strip() if name == "accept" else text
        for name, text in (GOOD | changes).items()
    }
    write_lab(tmp_path, "upper_server", PROGRAM.format(**lines))
    return run(tmp_path, check, around=around)


def run(
    tree: Path, check: str, checks: Path = HARNESS / "tests" / "checks", around: Sequence[str] = ()
) -> dict[str, Any]:
    out = tree / "out"
    command = [*around, HARNESS / "grade", "lab02", "--tree", tree, "--checks", checks, "--out", out]
    done = subprocess.run([*map(str, command), "--check", check], capture_output=True, text=True, timeout=120)
    (test,) = json.loads((out / "results.json").read_text())["tests"]
    (case,) = xml.parse(out / "junit.xml").getroot().iter("testcase")
    data: dict[str, Any] = test["extra_data"] | {"output": test["output"], "score": test["score"]}
    data["status"], data["said"] = done.returncode, done.stdout
    assert [child.tag for child in case] == {"pass": [], "fail": ["failure"], "could not tell": ["error"]}[
        data["verdict"]
    ]
    assert data["status"] == {"pass": 0, "fail": 1, "could not tell": 3}[data["verdict"]]
    assert (data["score"] > 0) == (data["verdict"] == "pass")
    assert not leftovers(tree), "a program of the submission is still there"
    return data


CLIENT_IS_DONE = """\
from labkit import Lab, check

@check(points=100, read="first-server")
def test_the_client_is_done(lab: Lab) -> None:
    lab.run("upper_client").expect_status().expect_output(b"done\\n")
"""


@pytest.mark.parametrize(
    ("body", "verdict", "cause"),
    [
        ("print('done')", "pass", None),
        ("print('don')", "fail", None),
        ("while True: print('x' * 10000)", "fail", "floods"),
        ("while True: print('x' * 10000, file=sys.stderr)", "fail", "floods"),
        (
            "print('FATAL: ThreadSanitizer: not here', file=sys.stderr); sys.exit(66)",
            "fail",
            "wrong_exit_status",
        ),
        ("signal.pause()", "fail", "does_not_end"),
    ],
)
def test_a_program_that_is_to_end(body: str, verdict: str, cause: str | None, tmp_path: Path) -> None:
    write_lab(tmp_path, "upper_client", f"#!/usr/bin/python3 -IS\nimport signal, sys\n{body}\n")
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_lab02_client.py").write_text(CLIENT_IS_DONE)
    data = run(tmp_path, "the_client_is_done", checks)
    assert (data["verdict"], data["cause"]) == (verdict, cause), data["output"]


def leftovers(tree: Path) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if any(str(tree / "lab02") in word for word in process.cmdline()):
                found.append(process.pid)
    return found


def test_a_good_program_passes(tmp_path: Path) -> None:
    assert grade(tmp_path)["verdict"] == "pass"


def test_answers_byte_by_byte_are_answers(tmp_path: Path) -> None:
    slow = "[(c.send(data[i:i+1].upper()), time.sleep(0.05)) for i in range(len(data))]"
    assert grade(tmp_path, answer=slow)["verdict"] == "pass"


def test_a_million_lines_of_log_are_no_trouble(tmp_path: Path) -> None:
    assert (
        grade(tmp_path, answer="c.sendall(data.upper()); [print('log') for _ in range(10**6)]")["verdict"]
        == "pass"
    )


@pytest.mark.parametrize(
    ("changes", "rung", "cause"),
    [
        ({"start": "signal.pause()"}, "listen", "not_listening"),
        ({"start": "sys.exit(3)"}, "exited", "exited_early"),
        ({"start": "sys.exit(0)"}, "exited", "exited_early"),
        ({"start": "os.abort()"}, "exited", "crashed"),
        ({"greet": "print('ready', flush=True)"}, "listen", "wrong_first_line"),
        ({"greet": "print('listening on 127.0.0.1:1', flush=True)"}, "listen", "wrong_first_line"),
        ({"greet": "pass"}, "listen", "wrong_first_line"),
        ({"accept": "signal.pause()"}, "accept", "never_accepted"),
        ({"answer": "pass"}, "answer", "no_answer"),
        ({"answer": "c.sendall(data)"}, "bytes", None),
        ({"answer": "c.sendall(data.upper()[:5])"}, "bytes", None),
        ({"answer": "c.sendall(data.upper() + b'!')"}, "bytes", None),
        ({"answer": "c.close(); break"}, "closed", "hung_up"),
        (
            {"answer": "print('server: recv: Bad address', file=sys.stderr, flush=True); c.close(); break"},
            "closed",
            "call_failed",
        ),
        (
            {"answer": "print('server: f: not written yet', file=sys.stderr, flush=True); c.close(); break"},
            "start",
            "not_written",
        ),
        (
            {"answer": "data += b''.join(iter(lambda: c.recv(1000), b'')); c.sendall(data.upper())"},
            "answer",
            "answers_at_the_end",
        ),
        (
            {
                "greet": "port = s.getsockname()[1]; other = port % 256 * 256 + port // 256; "
                "print('listening on 127.0.0.1:%d' % other, flush=True)"
            },
            "listen",
            "port_told_in_network_order",
        ),
        ({"answer": "os.abort()"}, "exited", "crashed"),
        ({"answer": "sys.exit(1)"}, "exited", "ended_unasked"),
        ({"answer": "sys.exit('server: recv: Connection reset by peer')"}, "exited", "client_ends_server"),
        ({"answer": "sys.exit('server: accept: Interrupted system call')"}, "exited", "interrupted"),
        ({"answer": "sys.exit('server: read: Bad file descriptor')"}, "exited", "bad_descriptor"),
        ({"answer": "sys.exit('server: send: No route to host')"}, "exited", "ended_with_reason"),
        ({"answer": "signal.signal(13, signal.SIG_DFL); os.kill(os.getpid(), 13)"}, "exited", "sigpipe"),
        (
            {"answer": "c.sendall(data.upper()); c.close(); sum(range(3_000_000)); os._exit(0)"},
            "exited",
            "ended_too_early",
        ),
        ({"answer": "while True: pass"}, "spins", "spins"),
        ({"accept": "while True: print('x' * 10000)"}, "exited", "floods"),
        (
            {"start": "os.fork() and os._exit(0); os.setsid(); os.fork() and os._exit(0)"},
            "exited",
            "exited_early",
        ),
        ({"start": "print('12 passed\\n100 of 100 points')\nsys.exit(0)"}, "exited", "exited_early"),
    ],
)
def test_the_first_rung_that_broke_is_named(
    tmp_path: Path, changes: dict[str, str], rung: str, cause: str | None
) -> None:
    result = grade(tmp_path, **changes)
    assert (result["verdict"], result["rung"], result["cause"]) == ("fail", rung, cause), result["output"]
    assert sum(step["failed"] for step in result["steps"]) == 1


def test_where_bytes_differ_both_sides_and_a_caret_are_shown(tmp_path: Path) -> None:
    output = grade(tmp_path, answer="c.sendall(b'HELLO, word\\n')")["output"]
    assert (
        "expected HELLO, WORLD\\n" in output and "received HELLO, word\\n" in output and "^ byte 8" in output
    )


def test_a_death_is_named_by_its_signal_and_the_last_words_are_kept(tmp_path: Path) -> None:
    output = grade(tmp_path, answer="print('oh no', file=sys.stderr, flush=True); os.kill(os.getpid(), 11)")[
        "output"
    ]
    assert "SIGSEGV" in output and "stderr: oh no" in output


def test_a_program_that_ignores_its_end_fails_and_is_gone(tmp_path: Path) -> None:
    start = "signal.signal(signal.SIGINT, signal.SIG_IGN); signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    result = grade(tmp_path, check="the_server_ends", start=start)
    assert (result["verdict"], result["cause"]) == ("fail", "does_not_end")


def test_what_a_program_prints_cannot_steer_the_terminal(tmp_path: Path) -> None:
    result = grade(tmp_path, answer="print('\\x1b[2J\\x1b[31mPASS', flush=True); os.abort()")
    assert "\x1b" not in result["output"] and "\\x1b[2J" in result["output"]


def test_a_program_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    (tmp_path / "lab02_tcp_iterative").mkdir()
    (tmp_path / "lab02_tcp_iterative" / "Makefile").write_text("all:\n")
    assert run(tmp_path, "the_server_answers")["cause"] == "program_missing"


def test_the_compilers_first_error_is_shown(tmp_path: Path) -> None:
    lab = tmp_path / "lab02_tcp_iterative"
    lab.mkdir()
    (lab / "Makefile").write_text("all: upper_server\nupper_server: upper_server.cpp\n\tg++ -o $@ $<\n")
    (lab / "upper_server.cpp").write_text("int main() { return x; }\n")
    result = run(tmp_path, "the_server_answers")
    assert result["cause"] == "does_not_build" and "was not declared" in result["output"]


def test_without_evidence_there_is_no_verdict(tmp_path: Path) -> None:
    """A harness that breaks asks again, says so, and charges nobody."""
    checks = tmp_path / "checks"
    checks.mkdir()
    (checks / "test_lab02_broken.py").write_text(
        "from labkit import check\n"
        "@check(points=100, read='x')\n"
        "def test_the_harness_breaks(lab):\n"
        "    raise OSError('no space left')\n"
    )
    (tmp_path / "lab02_tcp_iterative").mkdir()
    (tmp_path / "lab02_tcp_iterative" / "Makefile").write_text("all:\n")
    command = [HARNESS / "grade", "lab02", "--tree", tmp_path, "--checks", checks, "--out", tmp_path / "out"]
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert done.returncode == 3
    assert results["tests"][0]["extra_data"]["verdict"] == "could not tell"
    assert results["tests"][0]["extra_data"]["attempts"] == 3
    assert "provisional" in results["output"] and "provisional" in done.stdout
    assert "not graded" in results["tests"][0]["output"]


def test_signals_that_were_ignored_around_the_grader_are_not_in_the_program(tmp_path: Path) -> None:
    """nohup and a shell's & leave signals ignored, and a program would inherit that."""
    ignoring = ["env", "--ignore-signal=INT"]
    result = grade(tmp_path, around=ignoring, start="assert before != signal.SIG_IGN")
    assert result["verdict"] == "pass", result["output"]


@pytest.mark.parametrize(
    "words",
    [
        ["lab99"],
        ["lab02", "--check", "no_such_check"],
        ["--submission", "/nowhere"],
        ["lab02", "--frobnicate"],
    ],
)
def test_wrong_usage_says_why_and_exits_with_2(words: list[str], tmp_path: Path) -> None:
    done = subprocess.run([HARNESS / "grade", "--out", tmp_path, *words], capture_output=True, text=True)
    assert done.returncode == 2 and len(done.stderr.strip()) > 20
    assert "Traceback" not in done.stderr


def test_results_exist_when_grading_is_cut_off(tmp_path: Path) -> None:
    """The file is there from the beginning, and says what was not graded."""
    # A check has a process of its own, and the grader is that one's parent.
    end = "os.kill(int(open(f'/proc/{os.getppid()}/stat').read().rpartition(')')[2].split()[1]), 9)"
    write_lab(tmp_path, "upper_server", PROGRAM.format(**(GOOD | {"start": end})))
    command = [HARNESS / "grade", "lab02", "--tree", tmp_path, "--checks", HARNESS / "tests" / "checks"]
    done = subprocess.run([*map(str, command), "--out", str(tmp_path / "out")], capture_output=True)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert done.returncode == -9
    assert results["score"] == 0 and len(results["tests"]) == 2 and "cut off" in results["output"]
