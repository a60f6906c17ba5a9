"""The handouts quote what the labs contain and show what they print."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from handouts import quotation, transcript
from handouts.blocks import Block, blocks
from labkit import box

ROOT = Path(__file__).resolve().parents[2]
HANDOUTS = sorted((ROOT / "handouts").glob("*.md"))
LAB_PAGES = [page for page in HANDOUTS if list(ROOT.glob(f"{page.stem}_*"))]

every_handout = pytest.mark.parametrize("page", HANDOUTS, ids=[page.stem for page in HANDOUTS])
every_lab_page = pytest.mark.parametrize("page", LAB_PAGES, ids=[page.stem for page in LAB_PAGES])


@every_handout
def test_quotations_stand_in_the_labs(page: Path) -> None:
    wrong = [f"{b.place}: {fault}" for b in blocks(page) for fault in quotation.faults(b, ROOT)]
    assert not wrong, "\n".join(wrong)


@every_lab_page
def test_each_section_that_asks_something_has_its_answer(page: Path) -> None:
    sections = re.findall(r"^## (.*)\n\n\*", page.read_text(), re.MULTILINE)
    answers = (ROOT / "handouts" / "answers.md").read_text()
    assert not [section for section in sections if f"- [{section}]({page.name}#" not in answers]


def test_the_limits_of_a_submission_are_told_as_they_are() -> None:
    told = " ".join((ROOT / "handouts" / "instructors.md").read_text().split())
    for limit in (
        f"{box.CPU_SECONDS} seconds of CPU time",
        f"files of {box.FILE_SIZE >> 30} GiB",
        f"{box.PROCESSES} processes and threads",
        f"{box.AT_ONCE} processes, {box.MEMORY >> 30} GiB of memory",
        f"{box.SCRATCH_BYTES >> 20} MiB of files",
    ):
        assert limit in told


@pytest.mark.parametrize("page", ["handouts/instructors.md", "harness/term.ini"])
def test_the_checks_in_an_example_of_a_term_exist(page: str) -> None:
    lines = (ROOT / page).read_text().partition("[lab04]")[2].splitlines()
    names = [found[1] for line in lines if (found := re.match(r"(?:#   )?(\w+) = \d+", line))]
    checks = "".join(path.read_text() for path in (ROOT / "harness" / "checks").glob("test_lab04_*.py"))
    assert len(names) > 1
    for name in names:
        assert f"def test_{name}(" in checks


@every_lab_page
def test_transcripts_show_what_the_programs_print(page: Path, tmp_path: Path) -> None:
    shown = [block for block in blocks(page) if transcript.runnable(block)]
    if not shown:
        pytest.skip("no transcript that can be run here")
    labs = scratch_copy(page.stem, tmp_path)
    lab = next(labs.glob(f"{page.stem}_*"))
    command = [sys.executable, "-m", "handouts.transcript", str(page), str(lab)]
    played = subprocess.run(
        [*own_network(tmp_path), *command], cwd=ROOT / "harness", capture_output=True, text=True, timeout=600
    )
    assert played.returncode == 0, played.stdout + played.stderr


def scratch_copy(lab: str, folder: Path) -> Path:
    """Copies the lab with its programs built; the other labs are links beside it."""
    labs = folder / "labs"
    labs.mkdir()
    for source in sorted(ROOT.glob("lab[0-9][0-9]_*")):
        if source.name.startswith(lab):
            subprocess.run(
                ["make", "-s", "-j2", "-C", str(source)], check=True, env=os.environ | {"MAKEFLAGS": ""}
            )
            shutil.copytree(source, labs / source.name)
        else:
            labs.joinpath(source.name).symlink_to(source)
    return labs


def own_network(writable: Path) -> list[str]:
    """Returns the command that gives another a network and processes of its own, where that is allowed."""
    box = [
        "bwrap",
        "--unshare-net",
        "--unshare-pid",
        "--die-with-parent",
        "--ro-bind",
        "/",
        "/",
        "--dev",
        "/dev",
    ]
    box += [
        "--proc",
        "/proc",
        "--tmpfs",
        "/tmp",
        "--ro-bind",
        str(ROOT),
        str(ROOT),
        "--bind",
        str(writable),
        str(writable),
    ]
    usable = shutil.which("bwrap") and subprocess.run([*box, "true"], capture_output=True).returncode == 0
    return box if usable else []


def block(language: str, comment: str, text: str) -> Block:
    return Block(Path("page.md"), 1, language, comment, tuple(text.splitlines()))


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    (tmp_path / "a.cpp").write_text(
        "int main() {\n    first();\n    // BEGIN SOLUTION: do it.\n    secret();\n    // END SOLUTION\n"
        "    last();\n}\n"
    )
    return tmp_path


@pytest.mark.parametrize(
    ("comment", "text", "fault"),
    [
        ("quote a.cpp", "int main() {\n    first();", ""),
        ("quote a.cpp", "first();\n// …\nlast();", ""),
        ("quote a.cpp", "first();\nlast();", "does not stand"),
        ("quote a.cpp", "first ();", "does not stand"),
        ("quote a.cpp", "secret();", "shows a student's task"),
        ("quote b.cpp", "first();", "no file"),
        ("", "first();", "needs"),
        ("sketch", "anything();", ""),
        ("sketch", "\n" * 16, "most"),
        ("quote a.cpp", "\n" * 26, "most"),
    ],
)
def test_a_false_quotation_is_found(lab: Path, comment: str, text: str, fault: str) -> None:
    found = quotation.faults(block("cpp", comment, text), lab)
    assert fault in " ".join(found) if fault else not found


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("$ echo one; echo two\none\ntwo", ""),
        ("$ echo one; echo two\none", "more than is shown: two"),
        ("$ echo one\none\ntwo", "never appeared"),
        ("$ seq 9\n1\n…\n8\n9", ""),
        ("$ seq 9\n1\n…\n10", "never appeared"),
        ("$ echo pid $$, pid $$\npid 1, pid 1", ""),
        ("$ echo pid 7, pid 8\npid 1, pid 1", "shows instead"),
        ("$ date '+%a %b %e %T %Y'\nSat Nov 21 07:01:02 2026", ""),
        ("$ echo 127.0.0.1:40000\n127.0.0.1:50000", ""),
        ("$ echo 127.0.0.1:4444\n127.0.0.1:4445", "shows instead"),
        ("$ cat\n^D", ""),
        ("$ read -p 'Input: ' a; echo got $a\nInput: it\ngot it", ""),
        ("1$ sleep 99\n2$ echo here\nhere\n1: ^C", ""),
        (
            "1$ (trap 'echo Exiting; exit' INT; echo up; while :; do sleep 1; done)\nup\n"
            "2$ echo b\nb\n1: ^CExiting",
            "",
        ),
    ],
)
def test_a_false_transcript_is_found(
    tmp_path: Path, text: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transcript, "PATIENCE", 5.0)
    found = transcript.play(block("console", "", text), tmp_path)
    assert problem in found if problem else not found, found


@pytest.mark.parametrize(
    ("comment", "release", "said"),
    [
        ("", "5.10.0", ""),
        ("needs ss", "5.10.0", ""),
        ("seen on Linux 6.18", "6.18.44-x", ""),
        ("seen on Linux 6.18", "5.10.0", "seen on Linux 6.18, not 5.10"),
        ("needs ss; seen on Linux 6.18", "6.1.0", "seen on Linux 6.18, not 6.1"),
    ],
)
def test_a_transcript_may_differ_on_another_kernel(comment: str, release: str, said: str) -> None:
    assert transcript.seen_elsewhere(block("console", comment, "$ true"), release) == said


def test_a_false_transcript_fails_on_its_own_kernel(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here = ".".join(os.uname().release.split(".")[:2])
    page = tmp_path / "page.md"
    for kernel, status in ((here, 1), ("0.1", 0)):
        page.write_text(f"<!-- seen on Linux {kernel} -->\n```console\n$ echo one\ntwo\n```\n")
        assert transcript.main([str(page), str(tmp_path)]) == status
    assert "seen on Linux 0.1" in capsys.readouterr().out
