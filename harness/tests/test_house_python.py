"""The harness's own code: types, lint, and no word to silence either."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HARNESS = ROOT / "harness"
MYPY = "1.0"  # that judges: each version finds something else

COMMANDS = sorted(
    path
    for path in HARNESS.iterdir()
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/python3")
)
MODULES = sorted(path for path in HARNESS.rglob("*.py") if "__pycache__" not in path.parts)
OTHERS = HARNESS / "tests" / "checks"  # modules with the names of others


def run(*command: str | Path) -> str:
    """What the command has to say, "" if it finds nothing."""
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return done.stdout if done.returncode else ""


def test_no_lint() -> None:
    found = run("flake8", *COMMANDS, *MODULES)
    assert not found, found


def test_the_types_are_right(tmp_path: Path) -> None:
    version = subprocess.run(["mypy", "--version"], capture_output=True, text=True).stdout
    if f"mypy {MYPY}" not in version:
        pytest.skip(f"the types are judged by mypy {MYPY}, and here it is {version.strip()}")
    for path in COMMANDS:  # under names that modules can have
        (tmp_path / f"command_{path.name.replace('-', '_')}.py").symlink_to(path)
    modules = [path for path in MODULES if OTHERS not in path.parents]
    found = run("mypy", *modules, *tmp_path.iterdir()) + run("mypy", *OTHERS.glob("*.py"))
    assert not found, found


def test_nothing_is_silenced() -> None:
    """No word for a tool that nobody runs, nor for one that is run; mypy itself finds those for types that
    are idle.
    """
    silencing = re.compile(r"#\s*(noqa|fmt:|pylint:|isort:|nosec|pyright:|mypy:)|# type: ignore(?!\[)")
    found = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in [*COMMANDS, *MODULES]
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if silencing.search(line) and path != Path(__file__)
    ]
    assert not found, "\n".join(found)
