"""The handouts' pictures are what the programs do today."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

ROOT = Path(__file__).resolve().parents[2]
PICTURES = sorted((ROOT / "handouts" / "pictures").glob("*.svg"))

every_picture = pytest.mark.parametrize("picture", PICTURES, ids=[path.stem for path in PICTURES])


@every_picture
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_picture_says_what_its_program_does(picture: Path) -> None:
    run = subprocess.run(
        [ROOT / "harness" / "pictures", "--check", picture.stem], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stdout + run.stderr + f"Draw it again: harness/pictures {picture.stem}"


@every_picture
def test_a_picture_is_shown_by_its_handout_with_words_for_who_cannot_see_it(picture: Path) -> None:
    page = (ROOT / "handouts" / f"{picture.stem[:5]}.md").read_text()
    before, shown, _ = page.partition(f"](pictures/{picture.name})")
    assert shown
    words = before.rpartition("![")[2]
    assert "]" not in words
    assert len(words) > 40, f"{words} does not tell what is to be seen"


@every_picture
def test_a_picture_holds_nothing_but_a_picture(picture: Path) -> None:
    for element in ElementTree.parse(picture).iter():
        assert element.tag.rpartition("}")[2] not in {
            "script",
            "foreignObject",
            "image",
            "a",
            "animate",
            "set",
        }
        assert not [name for name in element.attrib if name.startswith("on") or name.endswith("href")]


def test_the_readme_shows_a_report_and_a_timeline_as_they_are_today() -> None:
    readme = (ROOT / "README.md").read_text()
    assert "](pictures/report.png)" in readme
    assert "](pictures/timeline.svg)" in readme
    run = subprocess.run([ROOT / "harness" / "readme-pictures", "--check"], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
