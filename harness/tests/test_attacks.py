"""Submissions that attack the grader: each gets its verdict, nothing is left of it, and nobody else notices.
"""

from __future__ import annotations

import concurrent.futures
import gzip
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from attacks import running
from attacks.running import Outcome, Surroundings
from grading.world import probe
from labkit import CouldNotTell, Failed, Lab, box, kernel
from labkit.processes import adopt_orphans, end_all
from labkit.waiting import poll

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent
ATTACKS = sorted((HARNESS / "attacks").glob("*.cpp"))
PROBES = re.findall(
    r'^    \{"(\w+)",', (HARNESS / "attacks/probes/upper_server.cpp").read_text(), re.MULTILINE
)
TRICKS = {
    path.stem: re.search(r"^// Mistake: (lab\d\d)/", path.read_text(), re.MULTILINE)[1]  # type: ignore[index]
    for path in sorted((HARNESS / "attacks" / "tricks").glob("*.cpp"))
}
IN_A_CONTAINER = (
    "serves",
    "include_reference",
    "climbs_out_by_proc",
    "preloads",
    "kills_everyone",
    "kills_every_id",
    "daemon",
    "fork_bomb",
    "dead_leader",
    "page_tables",
    "deep_directories",
    "becomes_a_tool",
    "strange_name",
    "disk_filler",
)
AS_ORDINARY_USER = (
    "serves",
    "kills_everyone",
    "daemon",
    "fork_bomb",
    "dead_leader",
    "socket_buffers",
    "strange_name",
)


pytestmark = pytest.mark.skipif(probe() > 2, reason="this machine cannot isolate: harness/doctor says why")


@pytest.fixture(scope="module")
def surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    with running.surroundings(tmp_path_factory.mktemp("attacks")) as made:
        yield made


@pytest.fixture(scope="module")
def outcomes(surroundings: Surroundings) -> dict[Path, Outcome]:
    """All attacks, some at a time."""
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        graded: list[Outcome] = list(pool.map(surroundings.attack, ATTACKS))
    return dict(zip(ATTACKS, graded))


@pytest.mark.parametrize("source", ATTACKS, ids=[path.stem for path in ATTACKS])
def test_the_attack_gets_its_verdict(source: Path, outcomes: dict[Path, Outcome]) -> None:
    assert "(tier 1)" in outcomes[source].printed or "(tier 2)" in outcomes[source].printed
    assert not outcomes[source].complaint(source), outcomes[source].printed


def test_nothing_is_left_of_the_attacks(outcomes: dict[Path, Outcome], surroundings: Surroundings) -> None:
    assert len(outcomes) == len(ATTACKS)
    assert not surroundings.damage()
    with pytest.raises(BlockingIOError):
        surroundings.listener.accept()


def test_what_is_written_is_short_and_steers_no_terminal(
    outcomes: dict[Path, Outcome], surroundings: Surroundings
) -> None:
    seen = 0
    for source, outcome in outcomes.items():
        assert len(json.dumps(outcome.results)) < 100_000, source
        for file in (surroundings.directory / source.stem / "out" / "evidence").glob("*"):
            assert "\x1b" not in file.read_text(), file
            seen += 1
    assert seen >= len(outcomes) / 2  # a program that was not built has written nothing


def test_memory_that_no_process_maps_is_seen_without_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the machine's own figures, and by what comes back when the programs are dead."""
    monkeypatch.setattr(box, "new_group", lambda limit: None)
    adopt_orphans()
    hog = (
        "import resource, socket, time\n"
        "hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))\n"
        "pairs = [socket.socketpair() for _ in range(1500)]\n"
        "for one, _ in pairs:\n"
        "    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 30)\n"
        "    one.setblocking(False)\n"
        "    try:\n"
        "        while True: one.send(bytes(8192))\n"
        "    except BlockingIOError: pass\n"
        "time.sleep(1000)\n"
    )

    def verdict() -> str:
        try:
            with box.Watchdog(limit=300 << 20) as watchdog:
                with subprocess.Popen([sys.executable, "-I", "-c", hog]) as process:
                    assert poll(lambda: watchdog.too_much or watchdog.trouble, 60.0)
                    assert process.wait(10) == -signal.SIGKILL
        except Failed as failure:
            return str(failure)
        except CouldNotTell:  # somebody else took memory at the same time
            return ""
        return "it was not seen"

    assert "memory" in next(filter(None, (verdict() for _ in range(5))))


def test_a_watch_that_breaks_ends_in_no_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel, "memory", lambda pid: 1 // 0)
    adopt_orphans()
    with pytest.raises(CouldNotTell, match="ZeroDivisionError"), box.Watchdog() as watchdog:
        with subprocess.Popen(["sleep", "1000"]) as process:
            assert poll(lambda: watchdog.trouble, 30.0)
            assert process.wait(10) == -signal.SIGKILL


def test_what_a_killed_grading_left_is_swept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(time, "time", lambda: 1e11)  # all is old
    left, strange = tmp_path / "labs-left", tmp_path / "other"
    for path in (left, strange):
        path.mkdir()
    deep = left
    for _ in range(100):
        deep /= "d"
    deep.mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with box.temporary_directory("used-") as used:
        box.sweep()
        assert not left.exists() and strange.exists() and used.exists()


@pytest.mark.parametrize("how", ["--require-sandbox", "--no-sandbox"])
def test_what_is_left_of_a_killed_grading_has_names_that_the_next_sweeps(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where there is no sandbox, and the temporary directories are in nothing that goes with it."""
    adopt_orphans()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    command: list[str | Path] = [HARNESS / "grade", "lab02", "--out", tmp_path / "out", how]
    command += ["--submission", server_of(HANGS, tmp_path / "work")]
    others = kernel.children(os.getpid()).keys()
    subprocess.Popen(command, stdout=subprocess.DEVNULL, env=os.environ | {"TMPDIR": str(temporary)})
    assert poll(lambda: (tmp_path / "out/results.json").exists(), 240.0), "it has begun to grade"
    end_all(but=others)  # also those that it starts just now
    assert {path.name.partition("-")[0] for path in temporary.iterdir()} == {"labs"}
    monkeypatch.setattr(time, "time", lambda: 1e11)  # all is old
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    box.sweep()
    assert not list(temporary.iterdir())


HANGS = "#include <unistd.h>\nint main() { while (true) pause(); }\n"


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("kind", ["hangs", "ends", "floods"])
def test_timelines_of_a_failing_server_come_to_an_end(kind: str, tmp_path: Path) -> None:
    """A tracer outlives what it traces: nothing may wait for the tracer's end."""
    flood = (HARNESS / "attacks/endless_output.cpp").read_text().replace('"serve.hpp"', "<cstdio>")
    source = {"hangs": HANGS, "ends": "int main() {}\n", "floods": flood}[kind]
    command: list[str | Path] = [HARNESS / "grade", "lab02", "--submission"]
    command += [server_of(source, tmp_path / "work")]
    command += ["--out", tmp_path / "out", "--checks", HARNESS / "tests/checks", "--timelines", "1"]
    run = subprocess.run(
        [*command, "--check", "the_server_answers"], stdout=subprocess.PIPE, text=True, timeout=600
    )
    assert run.returncode == 1, run.stdout
    assert (tmp_path / "out" / "report.html").read_text().count("<svg") == 1


def test_the_grading_of_a_submission_has_a_bound_and_says_what_was_not_judged(tmp_path: Path) -> None:
    command: list[str | Path] = [HARNESS / "grade", "lab02", "--submission"]
    command += [server_of(HANGS, tmp_path / "work")]
    command += ["--out", tmp_path / "out", "--checks", HARNESS / "tests/checks"]
    run = subprocess.run([*command, "--limit", "0"], stdout=subprocess.PIPE, text=True)
    results = json.loads((tmp_path / "out" / "results.json").read_text())
    assert "The grading as a whole took too long: 2 checks were not judged." in run.stdout
    assert {test["extra_data"]["verdict"] for test in results["tests"]} == {"could not tell"}
    for test in results["tests"]:
        assert "not judged: the grading as a whole has taken too long" in test["output"]
    assert results["extra_data"]["complete"] and results["score"] == 0


def test_ctrl_c_reaches_all_processes_in_a_box(tmp_path: Path) -> None:
    command: list[str | Path] = [
        HARNESS / "grade",
        "lab04",
        "--submission",
        ROOT,
        "--out",
        tmp_path,
        "--require-sandbox",
    ]
    done = subprocess.run(
        [*command, "--check", "the_children_end_with_the_server"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9), (signal.SIGINT, 130)]
)
def test_whoever_ends_the_grader_ends_all(number: signal.Signals, status: int, tmp_path: Path) -> None:
    """Also the world that it has made: SIGTERM to one process, as kill(1) sends it, or Ctrl-C to all."""
    adopt_orphans()
    command: list[str | Path] = [HARNESS / "grade", "lab02", "--out", tmp_path / "out"]
    command += ["--submission", honest_submission(tmp_path / "work")]
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    grader = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"TMPDIR": str(temporary)},
        start_new_session=True,
    )
    assert poll(lambda: (tmp_path / "out/results.json").exists(), 120.0), "it has begun to grade"
    inside = kernel.family(grader.pid)[1:]
    assert len(inside) > 2
    os.killpg(grader.pid, number) if number == signal.SIGINT else grader.send_signal(number)
    assert grader.wait(60) == status
    assert poll(
        lambda: not any(kernel.state(member) not in ("", "Z") for member in inside), 60.0
    ), "all of it has ended"
    assert number == signal.SIGKILL or not list(temporary.iterdir())


def test_an_honest_submission_after_them_has_full_marks(
    outcomes: dict[Path, Outcome], surroundings: Surroundings, tmp_path: Path
) -> None:
    honest = surroundings.grade(honest_submission(tmp_path), tmp_path / "out")
    assert honest.status == 0 and honest.results["score"] == 60, honest.printed


def honest_submission(directory: Path) -> Path:
    return server_of((ROOT / running.LAB / "upper_server.cpp").read_text() + "// honest\n", directory)


def server_of(source: str, directory: Path) -> Path:
    """A submission that differs from the reference in its upper_server.cpp alone: nothing else is built."""
    running.copy_of_reference(directory / running.LAB)
    (directory / running.LAB / "upper_server.cpp").write_text(source)
    return directory


# --- a container that refuses namespaces


def open_directory(factory: pytest.TempPathFactory, name: str) -> Path:
    """A directory that others reach, too."""
    directory = factory.mktemp(name)
    for path in (directory, *directory.parents[:3]):
        path.chmod(path.stat().st_mode | 0o011)
    return directory


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    if not box.has_landlock():
        pytest.skip("this kernel has no Landlock")
    # Nothing but Landlock keeps the attacks out of it.
    with running.surroundings(open_directory(tmp_path_factory, "container"), tier=3) as made:
        yield made


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Surroundings]:
    if os.geteuid() != 0:
        pytest.skip("the attacks above were graded by an ordinary user")
    if not can_use(HARNESS / "grade"):
        pytest.skip("no other user can read this tree, or has namespaces")
    with running.surroundings(open_directory(tmp_path_factory, "ordinary"), tier=1) as made:
        yield made


def can_use(program: Path) -> bool:
    reads = subprocess.run([*running.AS_ORDINARY, "test", "-r", program]).returncode == 0
    return (
        reads
        and subprocess.run(
            [*running.AS_ORDINARY, "unshare", "--user", "--net", "true"], capture_output=True
        ).returncode
        == 0
    )


# --- probes, in each tier


@pytest.fixture(scope="module")
def answers(surroundings: Surroundings) -> dict[str, str]:
    return surroundings.probe()


@pytest.fixture(scope="module")
def answers_in_a_container(container: Surroundings) -> dict[str, str]:
    return container.probe()


@pytest.fixture(scope="module")
def answers_of_an_ordinary_user(ordinary: Surroundings) -> dict[str, str]:
    return ordinary.probe()


def refused_and_not_its_control(name: str, answers: dict[str, str], tier: int = 0) -> None:
    assert answers[f"control {name}"] == "had", answers[f"control {name}"]
    assert answers[name].startswith("refused") or name in running.NOT_HELD.get(tier, ()), answers[name]


@pytest.mark.parametrize("name", PROBES)
def test_the_probe_is_refused(name: str, answers: dict[str, str]) -> None:
    refused_and_not_its_control(name, answers)


@pytest.mark.parametrize("name", PROBES)
def test_the_probe_is_refused_in_a_container(name: str, answers_in_a_container: dict[str, str]) -> None:
    refused_and_not_its_control(name, answers_in_a_container, tier=3)


@pytest.mark.parametrize("name", PROBES)
def test_the_probe_is_refused_to_an_ordinary_user(
    name: str, answers_of_an_ordinary_user: dict[str, str]
) -> None:
    refused_and_not_its_control(name, answers_of_an_ordinary_user)


@pytest.mark.parametrize("name", AS_ORDINARY_USER)
def test_the_attack_is_held_for_an_ordinary_user(name: str, ordinary: Surroundings) -> None:
    source = running.ATTACKS / f"{name}.cpp"
    outcome = ordinary.attack(source)
    assert "(tier 1)" in outcome.printed
    assert not outcome.complaint(source), outcome.printed


# --- tricks that hide a mistake


@pytest.fixture(scope="module")
def verdicts(surroundings: Surroundings) -> dict[str, str]:
    """Of the kill matrix's mistakes, each with a trick that is to hide it."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        of_labs = pool.map(surroundings.tricks, sorted(set(TRICKS.values())))
        return {name: verdict for of_lab in of_labs for name, verdict in of_lab.items()}


@pytest.mark.parametrize("name", TRICKS)
def test_the_trick_hides_no_mistake(name: str, verdicts: dict[str, str]) -> None:
    assert verdicts[name] == "fail"


def test_a_decoy_is_not_the_connection() -> None:
    """The same two ports at other addresses of the loopback are another connection."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(
        ("127.0.0.2", server.getsockname()[1])
    ) as other:
        client = socket.create_connection(server.getsockname())
        port = client.getsockname()[1]
        decoy = socket.create_connection(other.getsockname(), source_address=("127.0.0.2", port))
        accepted, _ = other.accept()
        with client, decoy, accepted:
            assert kernel.accepted(server.getsockname(), client.getsockname()) is False
            assert kernel.accepted(other.getsockname(), decoy.getsockname()) is True
            assert len(kernel.connection(server.getsockname(), client.getsockname())) == 2


def test_a_process_that_goes_on_is_not_paused(tmp_path: Path) -> None:
    room = Lab({}, "lab02", tmp_path)
    program = room.start("cat", path=Path("/bin/cat"), stdin=True)
    with program.paused():
        pass
    with pytest.raises(Failed, match="has not stood still"), program.paused():
        os.kill(program.pid, signal.SIGCONT)
        assert poll(lambda: kernel.state(program.pid) == "S", 10.0)
    program.end_input()
    program.expect_exit(0)


@pytest.mark.parametrize("name", IN_A_CONTAINER)
def test_the_attack_is_held_in_a_container(name: str, container: Surroundings) -> None:
    source = running.ATTACKS / f"{name}.cpp"
    outcome = container.attack(source)
    assert "files by Landlock; no private network (tier 3)" in outcome.printed
    assert not outcome.complaint(source), outcome.printed
    assert not container.damage()


def test_an_honest_submission_has_full_marks_in_a_container(container: Surroundings, tmp_path: Path) -> None:
    honest = container.grade(honest_submission(tmp_path), tmp_path / "out")
    assert honest.status == 0 and honest.results["score"] == 60, honest.printed


def test_a_report_says_whether_there_was_landlock(monkeypatch: pytest.MonkeyPatch) -> None:
    for there, words in ((True, "files by Landlock"), (False, "files by their owners alone")):
        monkeypatch.setattr(box, "has_landlock", lambda there=there: there)
        assert words in box.described(3) and "tier 3" in box.described(3)


def test_a_container_without_landlock_needs_the_harness_to_be_private(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from grading import world
    from grading.model import Unusable

    monkeypatch.setattr(world, "probe", lambda: 3)
    monkeypatch.setattr(world, "has_landlock", lambda: False)
    monkeypatch.setattr(world, "ROOT", HARNESS)
    with pytest.raises(Unusable, match="chmod"):
        world.enter(require=False, trust=False)


# --- what holds without a sandbox, and who looks


def test_a_program_dies_with_its_grader(tmp_path: Path) -> None:
    """Whatever ends the harness, SIGKILL included, and although nothing isolates."""
    script = (
        "import pathlib, subprocess, sys, time\n"
        "from labkit.box import Box\n"
        "from labkit.surroundings import Surroundings\n"
        "around, none = Surroundings(pathlib.Path(sys.argv[1])), subprocess.DEVNULL\n"
        "started = Box().start(['/usr/bin/sleep', '1000'], around, stdout=none, stderr=none)\n"
        "print(started.pid, flush=True)\n"
        "time.sleep(1000)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    grader = subprocess.Popen(command, cwd=HARNESS, stdout=subprocess.PIPE, text=True)
    assert grader.stdout is not None
    pid = int(grader.stdout.readline())
    assert poll(lambda: kernel.command(pid) == "sleep", 10.0)
    os.kill(grader.pid, signal.SIGKILL)
    grader.wait()
    assert poll(lambda: kernel.state(pid) in ("", "Z"), 10.0)


def test_doctor_proves_the_sandbox() -> None:
    run = subprocess.run([HARNESS / "doctor"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert run.returncode == 0, run.stdout
    assert run.stdout.count("  held: ") == len(running.QUICK), run.stdout
    assert not [
        line for line in run.stdout.splitlines() if line.startswith("MISSING") and "held" in line
    ], run.stdout


# --- archives


def graded_class(submissions: Path, out: Path) -> dict[str, str]:
    """Grades a class; returns state by name."""
    run = subprocess.run(
        [HARNESS / "grade-class", submissions, "--out", out, "--labs", "lab02"],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    states = {}
    for place in (out / "students").iterdir():
        results = json.loads((place / "results.json").read_text())
        states[place.name] = results["extra_data"].get("not_graded", "graded")
    return states


def test_archives_are_unpacked_with_care(tmp_path: Path) -> None:
    """Names that lead out, bombs, only links: each is a row that says why, and nothing lands outside."""
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
    for name, kind in (
        ("symlink", tarfile.SYMTYPE),
        ("hardlink", tarfile.LNKTYPE),
        ("fifo", tarfile.FIFOTYPE),
        ("device", tarfile.CHRTYPE),
    ):
        with tarfile.open(submissions / f"{name}.tar.gz", "w:gz") as file:
            entry = tarfile.TarInfo("lab02_tcp_iterative/upper_server.cpp")
            entry.type, entry.linkname = kind, str(ROOT / "lab02_tcp_iterative" / "upper_server.cpp")
            file.addfile(entry)
    with zipfile.ZipFile(submissions / "deep.zip", "w") as file:
        file.writestr("d/" * 1700 + "x", "")
    with zipfile.ZipFile(submissions / "directories.zip", "w") as file:
        for number in range(300):
            file.writestr(f"{number}/" + "d/" * 18 + "x", "")
    (submissions / "broken.zip").write_bytes(b"PK\x03\x04 and no more")
    (submissions / "empty").mkdir()
    (submissions / "linked" / "lab02_tcp_iterative").mkdir(parents=True)
    os.symlink(
        ROOT / "lab02_tcp_iterative/upper_server.cpp",
        submissions / "linked/lab02_tcp_iterative/upper_server.cpp",
    )
    (submissions / "waiting" / "lab02_tcp_iterative").mkdir(parents=True)
    os.mkfifo(submissions / "waiting/lab02_tcp_iterative/upper_server.cpp")
    (submissions / "link_to_others").mkdir()
    os.symlink(ROOT, submissions / "link_to_others" / "x")
    (submissions / "directory" / "lab02_tcp_iterative" / "upper_server.cpp").mkdir(parents=True)
    with zipfile.ZipFile(submissions / "damaged.zip", "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("lab02_tcp_iterative/upper_server.cpp", "int main() {}" * 1000)
    damaged = bytearray((submissions / "damaged.zip").read_bytes())
    damaged[80:84] = b"\xff\xff\xff\xff"
    (submissions / "damaged.zip").write_bytes(damaged)
    header = tarfile.TarInfo("header")
    header.type, header.size = tarfile.XHDTYPE, 3 << 29
    with gzip.open(
        submissions / "hog.tar.gz", "wb", compresslevel=1
    ) as hog:  # what its one header says is all in memory
        hog.write(header.tobuf())
        for _ in range(header.size >> 20):
            hog.write(bytes(1 << 20))
    strange = "a\nname\x1b[31m<script>"
    (submissions / strange).mkdir()
    states = graded_class(submissions, tmp_path / "out")
    assert len(states) == 19
    assert not [name for name, state in states.items() if state == "graded"], states
    for name, words in {
        "dotdot": "leads out",
        "absolute": "leads out",
        "bomb": "MiB",
        "many": "files",
        "symlink": "not a plain file",
        "fifo": "not a plain file",
        "deep": "deep",
        "directories": "files",
        "linked": "is a link, and counts for nothing",
        "waiting": "not a plain file",
        "directory": "not a plain file",
        "link_to_others": "has none of",
        "damaged": "cannot be unpacked",
        "hog": "cannot be unpacked: MemoryError",
    }.items():
        assert words in states[name], (name, states[name])
    assert not list(tmp_path.rglob("evil.txt")) and not Path("/tmp/evil.txt").exists()
    page = (tmp_path / "out" / "class.html").read_text()
    table = (tmp_path / "out" / "grades.csv").read_text()
    assert "<script>" not in page and "\x1b" not in page + table
