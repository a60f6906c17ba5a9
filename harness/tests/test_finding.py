"""Submissions as they come: whatever an archive or a service does to names, the exercises are found."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from grading import classes, submission
from grading.finding import exercise_files, find
from grading.model import ROOT, Unusable
from labkit.build import LABS

LAB = LABS["lab01"]
SOURCES = {name: (ROOT / LAB / name).read_bytes() for name in exercise_files("lab01")}


def zipped(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as file:
        for name, content in files.items():
            entry = zipfile.ZipInfo("x")
            entry.filename = name  # as it is: the constructor mends what some programs write
            file.writestr(entry, content)


def under(folder: str, mark: str = "/") -> dict[str, bytes]:
    return {f"{folder}{mark}{name}": content for name, content in SOURCES.items()}


def with_a_link(directory: Path) -> None:
    with tarfile.open(directory / "ann.txz", "w:xz") as file:
        link = tarfile.TarInfo("work/venv/bin/python3")
        link.type, link.linkname = tarfile.SYMTYPE, "/usr/bin/python3"
        file.addfile(link)
        for name, content in {**{name: b"old" for name in under(LAB)}, **under(LAB)}.items():
            for twice in (b"an older version", content):
                entry = tarfile.TarInfo(name)
                entry.size = len(twice)
                file.addfile(entry, io.BytesIO(twice))


def beside_a_readme(directory: Path) -> None:
    (directory / "ann").mkdir()
    (directory / "ann" / "README.md").write_text("My work.")
    zipped(directory / "ann" / "work.zip", under(LAB))


def as_canvas_has_it(directory: Path) -> None:
    for name, content in SOURCES.items():
        stem, _, end = name.partition(".")
        (directory / f"annabel_LATE_12345_67890_{stem}-1.{end}").write_bytes(content)
    (directory / "bobby_12346_67891_report.pdf").write_bytes(b"")


def as_moodle_has_it(directory: Path) -> None:
    for kind in ("file", "onlinetext"):
        (directory / f"Ann Bell_123_assignsubmission_{kind}_").mkdir()
    (directory / "Ann Bell_123_assignsubmission_onlinetext_" / "onlinetext.html").write_text("Here it is.")
    for name, content in SOURCES.items():
        (directory / "Ann Bell_123_assignsubmission_file_" / name).write_bytes(content)


def in_utf16(directory: Path) -> None:
    (directory / "ann" / LAB).mkdir(parents=True)
    for name, content in SOURCES.items():
        (directory / "ann" / LAB / name).write_bytes(content.decode().encode("utf-16"))


def saved_by_a_browser(directory: Path) -> None:
    (directory / "ann").mkdir()
    for name, content in SOURCES.items():
        stem, _, end = name.partition(".")
        (directory / "ann" / f"{stem}.{end}").with_name(f"{stem} (1).{end}").write_bytes(b"older")
        (directory / "ann" / f"{stem} (2).{end}").write_bytes(content)


KINDS: dict[str, tuple[Callable[[Path], None], str]] = {
    "backslashes": (lambda d: zipped(d / "ann.zip", under(LAB, "\\")), ""),
    "a folder of its own": (lambda d: zipped(d / "ann.zip", under("My Lab 1")), "My Lab 1"),
    "a copy": (lambda d: zipped(d / "ann.zip", under("lab01_cas_stdin (1)")), "(1)"),
    "deeper": (lambda d: zipped(d / "ann.zip", under(f"a/b/c/{LAB}")), f"a/b/c/{LAB}"),
    "macOS": (
        lambda d: zipped(d / "ann.zip", {f"__MACOSX/{LAB}/._{name}": b"" for name in SOURCES} | under(LAB)),
        "",
    ),
    "nothing around": (lambda d: zipped(d / "ann.zip", SOURCES), ""),
    "a link, .txz, files twice": (with_a_link, "venv/bin/python3"),
    "a README beside the archive": (beside_a_readme, ""),
    "Canvas": (as_canvas_has_it, "-1"),
    "Moodle": (as_moodle_has_it, ""),
    "UTF-16": (in_utf16, "UTF-16"),
    "a browser": (saved_by_a_browser, " (2)"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_exercises_are_found(kind: str, tmp_path: Path) -> None:
    make, note = KINDS[kind]
    (tmp_path / "class").mkdir()
    make(tmp_path / "class")
    (only,), _ = classes.submissions(tmp_path / "class")
    with classes.unpacked(only, tmp_path / "work") as (directory, notes):
        with submission.work_copy(directory, ["lab01"]) as (tree, labs, more):
            assert labs == ["lab01"]
            assert {name: (tree / LAB / name).read_bytes() for name in SOURCES} == SOURCES
        assert note in " ".join(notes + more), notes + more
        assert bool(notes + more) == bool(note)


def test_several_labs_are_told_apart_by_their_files(tmp_path: Path) -> None:
    for lab in ("lab01", "lab06"):
        place = tmp_path / f"task {lab[3:]}"
        place.mkdir()
        for name in exercise_files(lab):
            (place / name).write_bytes(b"")
    found = find(tmp_path, ["lab01", "lab06"])
    assert set(found.labs) == {"lab01", "lab06"}
    assert set(found.labs["lab06"]) == set(exercise_files("lab06"))


def test_what_may_be_of_several_labs_is_said(tmp_path: Path) -> None:
    (tmp_path / "upper_server.cpp").write_bytes(b"")
    with pytest.raises(Unusable, match="may be of several labs"):
        find(tmp_path, ["lab02", "lab04"])
    assert list(find(tmp_path, ["lab04"]).labs) == ["lab04"]


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"ann/a.zip": b"", "ann/b.zip": b""}, "several archives"),
        ({"ann/notes.txt": b""}, "has none of"),
        ({"Ann_1_assignsubmission_onlinetext_/onlinetext.html": b""}, "ask for the files"),
        ({"ann/work.7z": b""}, "hand in a zip or tar file"),
    ],
)
def test_a_row_says_what_to_do(files: dict[str, bytes], words: str, tmp_path: Path) -> None:
    for name, content in files.items():
        (tmp_path / "class" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "class" / name).write_bytes(content)
    (only,), _ = classes.submissions(tmp_path / "class")
    with pytest.raises(Unusable, match=words):
        with classes.unpacked(only, tmp_path / "work") as (directory, _):
            find(directory, ["lab01"])
