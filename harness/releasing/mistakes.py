"""The known mistakes: wrong versions of the labs, and what the checks should say of them."""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from grading.model import HARNESS, ROOT, Unusable
from labkit.build import LABS

from . import regions


@dataclass
class Mistake:
    """One wrong version of a lab. check and cause are '' for a TODO, which any check may catch."""

    lab: str
    name: str
    check: str
    cause: str
    files: dict[str, str]  # name in the lab's directory to the wrong content
    complaint: str = ""  # what a user of the wrong version says; for the clinic
    luck: bool = False  # other checks may find it, or not: the one that is named has to

    def make(self, tree: Path) -> None:
        """Copies the lab into `tree`, as far as it is built, with the mistake in it."""
        copy = tree / LABS[self.lab]
        shutil.copytree(ROOT / LABS[self.lab], copy, ignore=shutil.ignore_patterns("asan", "tests"))
        for name, content in self.files.items():
            (copy / name).write_text(content)


def patches(lab: str) -> list[Mistake]:
    """The mistakes in harness/mistakes/LAB: a header `check: NAME`, `cause: NAME`, prose, and a diff."""
    found = []
    for path in sorted((HARNESS / "mistakes" / lab).glob("*.patch")):
        patch = path.read_text()
        head = patch.partition("\n--- ")[0]
        header = dict(re.findall(r"^(check|cause|luck): *(\S+) *$", head, re.MULTILINE))
        luck = header.pop("luck", "no") == "yes"
        complaint = re.search(r"^complaint: *(\S.*)$", head, re.MULTILINE)
        if set(header) != {"check", "cause"}:
            raise Unusable(f"{path}: it has to begin with `check: NAME` and `cause: NAME`")
        said = complaint[1] if complaint else ""
        files = patched(lab, path)
        found.append(Mistake(lab, path.stem, header["check"], header["cause"], files, said, luck))
    return found


def alternatives(lab: str) -> list[Mistake]:
    """The correct solutions of another style in harness/alternatives/LAB: prose, and a diff."""
    paths = sorted((HARNESS / "alternatives" / lab).glob("*.patch"))
    return [Mistake(lab, path.stem, "", "", patched(lab, path)) for path in paths]


def patched(lab: str, path: Path) -> dict[str, str]:
    """The files of the lab that a patch changes, as it leaves them. Throws Unusable if it does not apply."""
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / LABS[lab]
        sources = [file for file in (ROOT / LABS[lab]).iterdir() if file.suffix in (".cpp", ".hpp")]
        copy.mkdir()
        for file in sources:
            shutil.copy(file, copy)
        run = subprocess.run(
            [
                "patch",
                "-p1",
                "--force",
                "--silent",
                "--no-backup-if-mismatch",
                "-d",
                scratch,
                "-i",
                str(path),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if run.returncode != 0:
            raise Unusable(f"{path} no longer applies:\n{run.stdout}")
        return {
            f.name: (copy / f.name).read_text()
            for f in sources
            if (copy / f.name).read_text() != f.read_text()
        }


def todos(lab: str) -> list[Mistake]:
    """One mistake for each SOLUTION region: the starter's TODO in its place, all others solved."""
    found = []
    for path in sorted((ROOT / LABS[lab]).glob("*.?pp")):
        source = path.read_text()
        for place in range(len(regions.regions(source))):
            content = regions.starter(source, only=place)
            found.append(Mistake(lab, f"TODO {path.name} {place + 1}", "", "", {path.name: content}))
    return found
