"""make's commands, the set-up, and the pages that describe them."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LABS = [lab.name[:5] for lab in sorted(ROOT.glob("lab[0-9][0-9]_*"))]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("handouts/*.md")])

every_lab = pytest.mark.parametrize("lab", LABS)


def run(*command: str, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | more
    return subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    )


@every_lab
def test_unit_tests_pass(lab: str) -> None:
    tests = run("make", f"unit-{lab}")
    assert tests.returncode == 0, tests.stdout


def test_help_lists_every_target_and_every_target_has_its_command() -> None:
    text = "".join(path.read_text() for path in (ROOT / "Makefile", ROOT / "harness" / "instructors.mk"))
    listed = re.findall(r"^make (\S+)", run("make", "help").stdout, re.MULTILINE)
    targets = re.findall(r"^(?!\.)((?:\$\(short:%=)?[\w-]+)%?\)?:(?!=)", text, re.MULTILINE)
    named = {target.removeprefix("$(short:%=") for target in targets} - {"clean", "$(labs)"}
    missing = [name for name in named if not any(word.startswith(name.rstrip("-")) for word in listed)]
    assert not missing, f"not in make help: {missing}"
    commands = set(re.findall(r"^\t@?(harness/[\w-]+)", text, re.MULTILINE))
    assert not [name for name in commands if not os.access(ROOT / name, os.X_OK)]


def test_a_lab_is_built_by_its_number_and_by_its_name() -> None:
    for name in ("lab01", "lab01_cas_stdin"):
        assert run("make", name).returncode == 0
    assert run("make", "lab99").returncode == 2


def test_editors_learn_how_each_program_is_compiled() -> None:
    commands = run("harness/compile-commands").stdout
    for source in ROOT.glob("lab*/*.cpp"):
        assert f'"{source.name}"' in commands


def test_setup_has_nothing_to_do_here_and_is_quick() -> None:
    begin = time.monotonic()
    again = run("sh", "harness/setup")
    assert again.returncode == 0 and again.stdout == "Everything is here already.\n", again.stdout
    assert time.monotonic() - begin < 1


def test_setup_tells_what_another_system_needs(tmp_path: Path) -> None:
    for tool in ("awk", "cat", "sed", "g++", "make", "python3"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}")
    elsewhere = run("/bin/sh", "harness/setup", PATH=str(tmp_path))
    assert "not Debian" in elsewhere.stdout and "strace" in elsewhere.stdout


def test_links_lead_somewhere() -> None:
    dead = []
    for page in PAGES:
        text = re.sub(r"```.*?\n```|`[^`]*`", "", page.read_text(), flags=re.DOTALL)
        for target, anchor in re.findall(r"\]\(([^):#]*)(#[\w-]+)?\)", text):
            path = (page.parent / target).resolve() if target else page
            if not path.exists() or (anchor and anchor[1:] not in anchors(path)):
                dead.append(f"{page.name}: {target}{anchor}")
    assert not dead, "\n".join(dead)


def test_a_check_sends_its_reader_to_a_section_that_exists() -> None:
    lost = []
    for checks in sorted(ROOT.glob("harness/checks/test_lab*.py")):
        page = ROOT / "handouts" / f"{checks.name[5:10]}.md"
        found = anchors(page) if page.exists() else set()
        for node in ast.walk(ast.parse(checks.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "read":
                section = ast.literal_eval(node.value)
                if section not in found:
                    lost.append(f"{page.name}#{section}")
    assert not lost, "\n".join(sorted(set(lost)))


def anchors(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as a code host makes them, and those it sets itself."""
    text = re.sub(r"```.*?\n```", "", page.read_text(), flags=re.DOTALL)
    headings = re.findall(r"^#+ +(.*)$", text, re.MULTILINE)
    made = {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in headings}
    return made | set(re.findall(r'<a (?:id|name)="([^"]+)"', text))
