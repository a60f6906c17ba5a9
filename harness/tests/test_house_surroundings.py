"""Nothing inherited changes a verdict: the grader is started in surroundings that somebody's machine had."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from grading.world import probe

HARNESS = Path(__file__).resolve().parent.parent
ROOT = HARNESS.parent

CHECKS = """\
from labkit import Lab, check


@check(points=60, read="x")
def test_it_is_right(lab: Lab) -> None:
    lab.run("stdin_cas", input=b"0 1\\n").expect_status().expect_output(b"0\\n")


@check(points=40, read="x")
def test_it_is_wrong(lab: Lab) -> None:
    \"\"\"Its story has what not every terminal can show: “·”, “…”.\"\"\"
    lab.run("stdin_cas", input=b"0 1\\n").expect_output(b"1\\n")
"""

# It answers as stdin_cas does to one line, and tells of surroundings that a program should not have.
PROGRAM = """\
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int main() {
    for (int number = 1; number < 32; ++number) {
        struct sigaction present = {};
        if (sigaction(number, nullptr, &present) == 0 && present.sa_handler == SIG_IGN) return number;
    }
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, nullptr, &blocked);
    if (!sigisemptyset(&blocked)) return 70;
    if (umask(0) != 022) return 71;
    if (getenv("LD_PRELOAD") || getenv("MAKEFLAGS") || getenv("LANG") || getenv("STRANGE")) return 72;
    for (int descriptor = 0; descriptor < 3; ++descriptor)
        if (fcntl(descriptor, F_GETFD) == -1) return 73;
    if (fcntl(9, F_GETFD) != -1) return 74;
    int first = 0;
    int second = 0;
    if (scanf("%d %d", &first, &second) != 2) return 75;
    puts("0");
}
"""

MAKEFILE = """\
CXX = g++
all: stdin_cas
stdin_cas: stdin_cas.cpp
\t$(CXX) -MMD -o $@ $<
"""

# What is done around the grader, by sh(1), before it starts as "$@".
AROUND = {
    "nothing": "",
    "umask 027": "umask 027",
    "umask 077": "umask 077",
    "options for pytest": "export PYTEST_ADDOPTS=-v",
    "wrong options for pytest": "export PYTEST_ADDOPTS=--no-such-option",
    "a plugin for pytest that is not there": "export PYTEST_PLUGINS=no_such_plugin",
    "other modules first": "echo 'raise SystemExit(9)' > labkit.py; export PYTHONPATH=$PWD",
    "no assertions": "export PYTHONOPTIMIZE=2",
    "another Python": "export PYTHONHOME=/nowhere",
    "a safe path": "export PYTHONSAFEPATH=1",
    "warnings are errors": "export PYTHONWARNINGS=error",
    "ASCII for Python": "export PYTHONIOENCODING=ascii PYTHONUTF8=0",
    "Latin-1": "localedef -i de_DE -f ISO-8859-1 ./latin1; export LOCPATH=$PWD LC_ALL=latin1",
    "Turkish": "localedef -i tr_TR -f UTF-8 ./tr_TR.UTF-8; export LOCPATH=$PWD LANG=tr_TR.UTF-8 LC_ALL=",
    "Chinese": "export LANGUAGE=zh_CN:zh LANG=C.UTF-8",
    "the C locale": "export LC_ALL=C",
    "a locale that is not there": "export LC_ALL=xx_YY.UTF-8",
    "make only talks": "export MAKEFLAGS=-n GNUMAKEFLAGS=-n",
    "make touches": "export MAKEFLAGS=-t",
    "make has other files": "echo 'CXX = false' > more.mk; export MAKEFILES=$PWD/more.mk MAKEFLAGS=e",
    "another compiler": "export CXX=false CXXFLAGS=-fno-such-option CPPFLAGS=-DX",
    "other headers": "mkdir h; echo '#error no' > h/stdio.h; export CPATH=$PWD/h CPLUS_INCLUDE_PATH=$PWD/h",
    "gcc elsewhere": "export GCC_EXEC_PREFIX=/nowhere/ COMPILER_PATH=/nowhere",
    "gcc writes elsewhere": "export DEPENDENCIES_OUTPUT=/nowhere/x SUNPRO_DEPENDENCIES=/nowhere/x",
    "grep has options": "export GREP_OPTIONS=-v GREP_COLOR=1",
    "a library is preloaded": "export LD_PRELOAD=/nowhere/library.so",
    "libraries elsewhere": "export LD_LIBRARY_PATH=/nowhere LD_BIND_NOW=1",
    "strange words": "export STRANGE=1 IFS=x CDPATH=/ POSIXLY_CORRECT=1 BASH_ENV=/nowhere ENV=/nowhere",
    "no environment": 'exec env -i "$@"',
    "no PATH": "export PATH=/nowhere",
    "no home": "export HOME=/nowhere XDG_CACHE_HOME=/nowhere",
    "a small terminal": "export COLUMNS=1 LINES=1 TERM=dumb",
    "another time": "export TZ=America/St_Johns SOURCE_DATE_EPOCH=0",
    "no directory for temporary files": "export TMPDIR=/nowhere",
    "blanks in it": "mkdir 'a b:c'; export TMPDIR=\"$PWD/a b:c\"",
    "ignored signals": "trap '' INT QUIT TERM HUP CHLD ALRM USR1 USR2 PIPE TSTP",
    "blocked signals": 'exec env --block-signal=INT,CHLD,ALRM,TERM,USR1 "$@"',
    "no stdin": "exec 0<&-",
    "no stdout": "exec 1>&-",
    "no stderr": "exec 2>&-",
    "no standard stream": "exec 0<&- 1>&- 2>&-",
    "a full disk behind stdout": "exec > /dev/full",
    "nobody reads stdout": 'exec "$@" | true',
    "one more descriptor": "exec 9< /dev/null",
    "few descriptors": "ulimit -S -n 40",
    "a small file": "ulimit -S -f 8",
    "little CPU time": "ulimit -S -t 600",
    "a small stack": "ulimit -S -s 256",
    "an endless stack": "ulimit -S -s unlimited",
    "core files": "ulimit -S -c unlimited",
    "nice": 'exec nice -n 5 "$@"',
    "no directory": "mkdir gone; cd gone; rmdir ../gone",
    "no terminal": 'exec setsid --wait "$@"',
}


def make_tree(tree: Path, program: str = PROGRAM) -> Path:
    """A tree with nothing but lab 1's directory in it, and checks for it."""
    lab = tree / "lab01_cas_stdin"
    lab.mkdir(parents=True)
    (lab / "Makefile").write_text(MAKEFILE)
    (lab / "stdin_cas.cpp").write_text(program)
    (tree / "checks").mkdir()
    (tree / "checks" / "test_lab01_surroundings.py").write_text(CHECKS)
    return tree


def grade(
    tree: Path, around: str = "", *more: str | Path, harness: Path = HARNESS
) -> subprocess.CompletedProcess[str]:
    """Grades what is in the tree, as one's own, with these commands of sh around the grader."""
    working = tree / "working"
    working.mkdir(exist_ok=True)
    command = [harness / "grade", "lab01", "--checks", tree / "checks", "--out", tree / "out"]
    command += more or ["--tree", tree]
    shell = ["sh", "-c", f'{around}\nexec "$@"', "sh", *map(str, command)]
    if around.endswith("| true"):
        shell = ["bash", "-c", f"{around}; exit ${{PIPESTATUS[0]}}", "bash", *map(str, command)]
    return subprocess.run(
        shell,
        cwd=working,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=300,
    )


def verdicts(tree: Path) -> dict[str, str]:
    results = json.loads((tree / "out" / "results.json").read_text())
    return {test["extra_data"]["check"]: test["extra_data"]["verdict"] for test in results["tests"]}


RIGHT = {"it_is_right": "pass", "it_is_wrong": "fail"}


@pytest.mark.parametrize("around", AROUND.values(), ids=AROUND.keys())
def test_one_s_own_code_gets_the_same_verdicts(around: str, tmp_path: Path) -> None:
    done = grade(make_tree(tmp_path / "tree"), around)
    assert (done.returncode, verdicts(tmp_path / "tree")) == (1, RIGHT), done.stdout + done.stderr
    assert "Traceback" not in done.stderr


BOXED = (
    "umask 077",
    "options for pytest",
    "Latin-1",
    "Turkish",
    "no environment",
    "no PATH",
    "ignored signals",
    "no standard stream",
    "few descriptors",
    "blanks in it",
    "another Python",
    "no directory",
)


@pytest.mark.parametrize("name", BOXED)
def test_a_submission_gets_the_same_verdicts(name: str, tmp_path: Path) -> None:
    """In the best sandbox that this machine gives: it begins with processes that inherit, too."""
    tree = make_tree(tmp_path / "tree")
    done = grade(tree, AROUND[name], "--submission", ROOT, "--trust")
    assert (done.returncode, verdicts(tree)) == (1, RIGHT), done.stdout + done.stderr
    if probe() <= 2:
        assert "Attention" not in done.stderr, "whatever is around it, the tier is the same"


def test_the_checkout_may_have_any_name(tmp_path: Path) -> None:
    """Also one with what pytest, make, LD_PRELOAD or a shell read as something else."""
    checkout = tmp_path / "CS [2026] a:b $x é"
    shutil.copytree(HARNESS, checkout / "harness", ignore=shutil.ignore_patterns("mistakes", "tests"))
    tree = make_tree(checkout, PROGRAM.replace('getenv("LD_PRELOAD")', '!getenv("LD_PRELOAD")'))
    (tree / "checks" / "test_lab01_surroundings.py").write_text(
        CHECKS.replace('input=b"0 1\\n")', 'input=b"0 1\\n", faults={})')
    )
    done = grade(tree, harness=checkout / "harness")
    assert (done.returncode, verdicts(tree)) == (1, RIGHT), done.stdout + done.stderr


# --- what is built


@pytest.mark.parametrize("around", ["", AROUND["Chinese"], "export MAKEFLAGS=-i", AROUND["Latin-1"]])
def test_what_no_longer_compiles_is_not_judged_by_what_was_built_before(around: str, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    assert grade(tree).returncode == 1
    (tree / "lab01_cas_stdin" / "stdin_cas.cpp").write_text(
        PROGRAM.replace("int first = 0;", "int first = zero;")
    )
    done = grade(tree, around)
    assert (done.returncode, set(verdicts(tree).values())) == (1, {"fail"}), done.stdout
    assert "zero" in (tree / "out" / "results.json").read_text(), "the compiler's error is told"


def test_a_program_is_never_older_than_its_source_whatever_the_clock_says(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree", PROGRAM.replace('puts("0")', 'puts("1")'))
    grade(tree)
    assert verdicts(tree) == {"it_is_right": "fail", "it_is_wrong": "pass"}
    source = tree / "lab01_cas_stdin" / "stdin_cas.cpp"
    source.write_text(PROGRAM)
    os.utime(source, (0, 0))
    grade(tree)
    assert verdicts(tree) == RIGHT


# --- what cannot be told


def in_mounts_of_its_own(commands: str) -> str:
    """The grader with these mounts; skips the test where mounting is not allowed."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode != 0:
        pytest.skip("mounting is not allowed here")
    return f'exec unshare --mount sh -c \'{commands}\nexec "$@"\' sh "$@"'


def test_a_directory_for_temporary_files_without_programs_is_told_and_not_used(tmp_path: Path) -> None:
    mounts = in_mounts_of_its_own('mkdir t; mount -t tmpfs -o noexec none t; export TMPDIR="$PWD/t"')
    tree = make_tree(tmp_path / "tree")
    done = grade(tree, mounts, "--submission", ROOT, "--trust")
    assert (done.returncode, verdicts(tree)) == (1, RIGHT), done.stdout + done.stderr
    assert "is mounted noexec" in done.stderr and "/tmp is used" in done.stderr


@pytest.mark.parametrize(
    ("mounts", "words"),
    [
        ("mount --bind .. .. && mount -o remount,bind,noexec ..", "is mounted noexec"),
        ("for d in /tmp /var/tmp; do mount -t tmpfs -o noexec none $d; done", "no directory where programs"),
    ],
)
def test_where_no_program_can_run_nobody_is_charged(mounts: str, words: str, tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    if "/tmp" in mounts and Path("/tmp") in tree.parents:
        tree = make_tree(Path("/dev/shm") / tmp_path.name)
    done = grade(tree, in_mounts_of_its_own(mounts))
    assert done.returncode == 3 and words in done.stderr, done.stdout + done.stderr
    assert not (tree / "out" / "results.json").exists() or not any(
        test["score"] for test in json.loads((tree / "out" / "results.json").read_text())["tests"]
    )
    if tree.parent == Path("/dev/shm"):
        shutil.rmtree(tree)


def test_a_limit_that_nobody_may_raise_is_told(tmp_path: Path) -> None:
    tree = make_tree(tmp_path / "tree")
    lowered = 'exec setpriv --bounding-set=-sys_resource --inh-caps=-all -- prlimit --nofile=100 "$@"'
    done = grade(tree, lowered)
    assert done.returncode == 3 and "open files (ulimit -n) is 100" in done.stderr, done.stdout + done.stderr
