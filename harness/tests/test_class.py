"""A class from end to end: made of the reference, the starter and the mistakes, in directories and archives;
interrupted and resumed; on this machine and on Slurm."""

from __future__ import annotations

import csv
import fcntl
import json
import os
import shutil
import signal
import subprocess
import tarfile
import time
import zipfile
from pathlib import Path
from random import Random

import pytest
from grading import classes
from grading.classes import time_left
from grading.finding import exercise_files
from labkit.build import LABS
from releasing import regions

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent
LAB = "lab01"  # the one that is graded fastest


def touches_an_exercise(patch: Path) -> bool:
    """Whether the patch changes a file that is taken from a submission."""
    return any(f"+++ b/{LABS[LAB]}/{name}" in patch.read_text() for name in exercise_files(LAB))


def make_class(directory: Path, count: int) -> None:
    """Writes `count` submissions: right ones, starters, mistakes, empty ones, broken archives."""
    folder = LABS[LAB]
    patches = [
        path for path in sorted((HARNESS / "mistakes" / LAB).glob("*.patch")) if touches_an_exercise(path)
    ]
    for number in range(count):
        name = f"student{number:03}"
        place = directory / name
        kind = number % 6
        if kind == 4:
            place.mkdir(parents=True)
        elif kind == 5:
            directory.joinpath(f"{name}.zip").write_bytes(b"no archive")
        else:
            shutil.copytree(
                ROOT / folder, place / folder, ignore=shutil.ignore_patterns("tests", "asan", "tsan", "*.d")
            )
        if number % 12 == 7:
            for path in (place / folder).glob("*.?pp"):
                path.write_text(regions.starter(path.read_text()))
        elif kind in (1, 2, 3):
            patch = ["patch", "-p1", "-s", "-d", str(place), "-i", str(patches[number % len(patches)])]
            subprocess.run(patch, check=True, stdout=subprocess.DEVNULL)
        if kind == 2:
            with zipfile.ZipFile(directory / f"{name}.zip", "w") as file:
                for path in (place / folder).glob("*.?pp"):
                    file.write(path, f"{folder}/{path.name}")
            shutil.rmtree(place)
        if kind == 3:
            with tarfile.open(directory / f"{name}.tar.gz", "w:gz") as archive:
                archive.add(
                    place / folder,
                    folder,
                    filter=lambda entry: entry if "." in entry.name or entry.isdir() else None,
                )
            shutil.rmtree(place)


def command(submissions: Path, out: Path, *more: str) -> list[str]:
    return [str(HARNESS / "grade-class"), str(submissions), "--out", str(out), "--labs", LAB, *more]


def rows(out: Path) -> dict[str, dict[str, str]]:
    with (out / "grades.csv").open(newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def finished(out: Path) -> dict[str, float]:
    """When each submission's grading was completed, by slug."""
    return {
        path.parent.name: path.stat().st_mtime
        for path in out.glob("students/*/results.json")
        if '"complete": true' in path.read_text()
    }


def seeds(out: Path) -> set[int]:
    """What the graded submissions say of the draw."""
    told = [json.loads(path.read_text())["extra_data"] for path in out.glob("students/*/results.json")]
    return {data["seed"] for data in told if "seed" in data}


def graded_since(before: dict[str, float], out: Path) -> set[str]:
    """The submissions that were graded once more since finished() told this of them."""
    return {name for name, moment in finished(out).items() if moment != before[name]}


@pytest.fixture(scope="module")
def submissions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("class") / "submissions"
    directory.mkdir()
    make_class(directory, 12)
    return directory


def right(table: dict[str, dict[str, str]], count: int) -> None:
    """Every submission of make_class has its row, with the points that its kind deserves."""
    assert len(table) == count
    for name, row in table.items():
        kind = int(name[-3:]) % 6
        score = float(row["score"])
        if kind == 0:
            assert (score, row["state"]) == (100, "graded"), row
        elif kind in (4, 5):
            assert score == 0 and row["state"] not in ("graded", "provisional"), row
        else:
            assert score < 100 and row["state"] == "graded", row


def test_a_class_is_resumed_where_it_was_killed(submissions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = subprocess.Popen(command(submissions, out), stdout=subprocess.DEVNULL, start_new_session=True)
    limit = time.monotonic() + 300
    while len(finished(out)) < 5 and first.poll() is None and time.monotonic() < limit:
        time.sleep(0.05)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    before = finished(out)
    assert 5 <= len(before) < 12, "it was to be killed half-way"
    again = subprocess.run(command(submissions, out), capture_output=True, text=True)
    assert again.returncode == 0, again.stdout + again.stderr
    after = finished(out)
    assert {name: after[name] for name in before} == before, "nothing is graded twice"
    right(rows(out), 12)
    assert len(seeds(out)) == 1, "all were asked the same, also after the interruption"
    assert (out / "class.html").exists() and len(list(out.glob("students/*/report.html"))) == 12
    untouched = subprocess.run(command(submissions, out), capture_output=True, text=True)
    assert untouched.returncode == 0 and finished(out) == after

    one = subprocess.run(command(submissions, out, "--again", "student000"), capture_output=True, text=True)
    assert one.returncode == 0
    assert graded_since(after, out) == {"student000"}, "one student is graded once more"
    assert len(seeds(out)) == 1
    other = subprocess.run(command(submissions, out, "--seed", "7"), capture_output=True, text=True)
    assert other.returncode == 2 and f"--seed {seeds(out).pop()}" in other.stderr


@pytest.mark.parametrize(
    ("preset", "columns"), [("moodle", ["Email address", "Lab 1"]), ("canvas", ["SIS Login ID", "Lab 1"])]
)
def test_the_table_has_the_columns_of_the_service(preset: str, columns: list[str], tmp_path: Path) -> None:
    (tmp_path / "class" / "ann@example.org").mkdir(parents=True)
    run = subprocess.run(
        command(tmp_path / "class", tmp_path / "out", "--columns", preset, "--score-column", "Lab 1"),
        capture_output=True,
    )
    assert run.returncode == 0
    with (tmp_path / "out" / "grades.csv").open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0][:2] == columns and table[1][0] == "ann@example.org"


def test_two_runs_do_not_grade_into_the_same_directory(submissions: Path, tmp_path: Path) -> None:
    with (tmp_path / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.run(command(submissions, tmp_path), capture_output=True, text=True)
    assert second.returncode == 2 and "another run" in second.stderr


def test_submissions_as_services_hand_them_out(tmp_path: Path) -> None:
    """A directory with nothing but an archive in it, an archive in an archive, one that cannot be unpacked
    here, and files.
    """
    directory = tmp_path / "class"
    directory.mkdir()
    make_class(directory, 4)
    (directory / "in_a_directory").mkdir()
    (directory / "student003.tar.gz").rename(directory / "in_a_directory" / "work.tar.gz")
    with zipfile.ZipFile(directory / "in_an_archive.zip", "w") as file:
        file.write(directory / "student002.zip", "work.zip")
        file.writestr("__MACOSX/._work.zip", b"")
    (directory / "other.rar").write_bytes(b"Rar!")
    (directory / "notes\x1b.txt").write_text("of the instructor's own")
    (directory / "link").symlink_to(directory / "student000")
    run = subprocess.run(command(directory, tmp_path / "out"), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert "link, notes\\x1b.txt" in run.stderr
    table = rows(tmp_path / "out")
    assert set(table) == {
        "student000",
        "student001",
        "student002",
        "in_a_directory",
        "in_an_archive",
        "other",
    }
    assert ".rar" in table.pop("other")["state"]
    assert {row["state"] for row in table.values()} == {"graded"}
    assert table["in_an_archive"]["score"] == table["student002"]["score"]

    other_labs = [word if word != LAB else "lab02" for word in command(directory, tmp_path / "out")]
    mixed = subprocess.run(other_labs, capture_output=True, text=True)
    assert mixed.returncode == 2 and f"has the grades of {LAB}" in mixed.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["/nowhere"], "no such directory"),
        (["--jobs", "2"], "required: submissions"),
        (["{class}", "--jobs", "0"], "--jobs"),
        (["{class}", "--part", "3/3"], "--part"),
        (["{class}", "--labs", "lab99"], "lab99"),
        (["{class}", "--seed", "-1"], "--seed"),
        (["{class}", "--again", "nobody"], "nobody"),
        (["{class}", "--out", "{class}/out"], "take it for a submission"),
        (["{class}", "--out", "/dev/null"], "directory that can be written to"),
    ],
)
def test_wrong_usage_is_said(words: list[str], told: str, tmp_path: Path) -> None:
    (tmp_path / "class" / "ann").mkdir(parents=True)
    words = [word.replace("{class}", str(tmp_path / "class")) for word in words]
    run = subprocess.run(
        [HARNESS / "grade-class", "--out", tmp_path / "out", *words], capture_output=True, text=True
    )
    assert run.returncode == 2 and "Traceback" not in run.stderr and told in run.stderr, run.stderr


# --- Slurm


def wait_for(command: list[str], wanted: str, seconds: float = 60) -> bool:
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        if wanted in subprocess.run(command, capture_output=True, text=True).stdout:
            return True
        time.sleep(0.2)
    return False


@pytest.fixture
def cluster(tmp_path: Path) -> object:
    """A Slurm of one node, for this test; slurm.conf(5)."""
    if os.geteuid() != 0 or not all(map(shutil.which, ("slurmctld", "slurmd", "munged", "sbatch"))):
        pytest.skip("needs root and Debian's slurm-wlm and munge")
    host = os.uname().nodename
    configuration = tmp_path / "slurm.conf"
    configuration.write_text(
        f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nAuthType=auth/munge\nSlurmUser=root\n"
        f"StateSaveLocation={tmp_path}/state\nSlurmdSpoolDir={tmp_path}/spool\n"
        f"SlurmctldPidFile={tmp_path}/ctld.pid\n"
        f"SlurmdPidFile={tmp_path}/d.pid\nSlurmctldLogFile={tmp_path}/ctld.log\n"
        f"SlurmdLogFile={tmp_path}/d.log\n"
        "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nSelectType=select/cons_tres\n"
        "SelectTypeParameters=CR_CPU\nReturnToService=2\nMpiDefault=none\nSwitchType=switch/none\n"
        f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
        f"PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP\n"
    )
    (tmp_path / "state").mkdir()
    (tmp_path / "spool").mkdir()
    environment = os.environ | {"SLURM_CONF": str(configuration)}
    Path("/run/munge").mkdir(exist_ok=True)
    shutil.chown("/run/munge", "munge", "munge")
    daemons = [
        subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for words in (
            ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "-F"],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        )
    ]
    os.environ["SLURM_CONF"] = str(configuration)
    try:
        if not wait_for(["sinfo", "-h", "-o", "%T"], "idle"):
            logs = "".join(path.read_text()[-2000:] for path in tmp_path.glob("*.log"))
            pytest.fail(f"the node did not become idle:\n{logs}")
        yield host
    finally:
        for daemon in reversed(daemons):
            daemon.terminate()
            daemon.wait()
        del os.environ["SLURM_CONF"]


def test_slurm_grades_the_same(cluster: object, tmp_path: Path) -> None:
    submissions = tmp_path / "submissions"
    submissions.mkdir()
    make_class(submissions, 6)
    run = subprocess.run(
        command(submissions, tmp_path / "out", "--engine", "slurm"), capture_output=True, text=True
    )
    logs = "".join(path.read_text() for path in (tmp_path / "out" / "slurm").glob("*.log"))
    assert run.returncode == 0, run.stdout + run.stderr + logs
    right(rows(tmp_path / "out"), 6)
    before = finished(tmp_path / "out")
    one = command(submissions, tmp_path / "out", "--engine", "slurm", "--again", "student000")
    assert subprocess.run(one, capture_output=True).returncode == 0
    assert graded_since(before, tmp_path / "out") == {"student000"}, "one student is graded once more"


def test_without_slurm_it_says_so(submissions: Path, tmp_path: Path) -> None:
    if shutil.which("sbatch"):
        pytest.skip("Slurm is installed here")
    run = subprocess.run(command(submissions, tmp_path, "--engine", "slurm"), capture_output=True, text=True)
    assert run.returncode == 2 and "Slurm" in run.stderr


@pytest.mark.parametrize("jobs", [1, 2, 8])
def test_the_time_left_is_right_within_a_fifth_from_the_tenth_on(jobs: int) -> None:
    """Nineteen times of twenty, in a class whose submissions take from half to one and a half times the
    average.
    """
    random = Random(1)
    right = []
    for _ in range(20):
        took = [random.uniform(60, 180) for _ in range(200)]
        free = [0.0] * jobs
        ends = []
        for seconds in took:
            place = free.index(min(free))
            free[place] += seconds
            ends.append(free[place])
        ends.sort()
        for graded in range(10, 190):
            number, unit = time_left(ends[graded - 1], graded, 200, jobs).split()[:2]
            told = float(number) * {"s": 1, "min": 60, "h": 3600}[unit]
            if unit == "h":
                told += 60 * float(time_left(ends[graded - 1], graded, 200, jobs).split()[2])
            left = ends[-1] - ends[graded - 1]
            right.append(abs(told - left) <= 0.2 * left + 30)
    assert sum(right) >= 0.95 * len(right)


@pytest.mark.parametrize(
    "name",
    ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0=1", "\u200b=1", "\ufeff=1"]
    + ["\u2060=1", "\uff1d1", "\ufe661", "\uff0b1", "\u207a1", "\uff0d1", "\u22121", "\uff201", "\ufe6b1"]
    + ["\u0338=1", "|calc", "%1"],
)
def test_no_cell_is_a_formula_in_any_form_of_unicode(name: str) -> None:
    """A spreadsheet drops blanks and marks that nobody sees, and takes other forms of = + - @ for these."""
    submission = classes.Submission(name, "slug", Path("."))
    row = classes.Row(submission, {"score": 0, "extra_data": {"not_graded": name}})
    (_, cells) = csv.reader(classes.grades_csv([row], "student", "score").splitlines())
    for cell in (cells[0], cells[2]):
        assert cell.startswith("'") and cell.isprintable(), cell


@pytest.mark.parametrize("name", ["-rf", "--help", "-", "a b", "\u202eexe", "-x\n"])
def test_a_name_is_no_option_and_leads_nowhere(name: str, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    for name in (".hidden", ".git"):
        (tmp_path / name).mkdir()
    found, passed_over = classes.submissions(tmp_path)
    assert passed_over == [".hidden"]  # and a directory for git is nobody's
    (submission,) = found
    assert submission.slug.strip(".-") and "/" not in submission.slug and submission.slug[0] not in "-."
    assert submission.slug.isascii() and submission.slug.isprintable() and " " not in submission.slug


def test_a_name_of_options_is_graded_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "class" / "--trust").mkdir(parents=True)
    with zipfile.ZipFile(tmp_path / "class" / "-x.zip", "w") as file:
        file.writestr("-C/upper_server.cpp", "")
    run = subprocess.run(command(tmp_path / "class", tmp_path / "out"), capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert {row["state"] for row in rows(tmp_path / "out").values()} and len(rows(tmp_path / "out")) == 2


def test_a_class_says_of_whom_much_could_not_be_told() -> None:
    def row(name: str, untold: int) -> classes.Row:
        verdicts = ["could not tell"] * untold + ["pass"] * (5 - untold)
        tests = [{"extra_data": {"verdict": verdict}} for verdict in verdicts]
        return classes.Row(classes.Submission(name, name, Path(".")), {"tests": tests})

    assert classes.untold([row("ann", 0), row("bob\x1b", 3), row("cat", 2), row("dan", 5)]) == [
        "bob\\x1b (3)",
        "dan (5)",
    ]
