"""The labs' sources: form, lint, the files that labs share, and the marks of the exercises."""

from __future__ import annotations

import concurrent.futures
import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from releasing import regions
from releasing.regions import Malformed

ROOT = Path(__file__).resolve().parents[2]
LABS = sorted(ROOT.glob("lab[0-9][0-9]_*"))
SOURCES = sorted(path for lab in LABS for path in lab.glob("*.?pp"))
UNIT_TESTS = sorted(path for lab in LABS for path in lab.glob("tests/*.?pp"))

every_lab = pytest.mark.parametrize("lab", LABS, ids=[lab.name for lab in LABS])


def told(path: Path) -> str:
    return str(path.relative_to(ROOT))


LLVM = 14  # whose clang-format and clang-tidy judge the sources: each version wants others


def needs(tool: str) -> None:
    """Skips the test if the tool is of another version than the one that judges."""
    said = subprocess.run([tool, "--version"], capture_output=True, text=True).stdout
    version = re.search(r"version (\d+)", said)
    if version is None or int(version[1]) != LLVM:
        pytest.skip(
            f"the sources are judged by {tool} {LLVM}, and here it is {version[1] if version else 'another'}"
        )


def test_every_source_is_formatted() -> None:
    needs("clang-format")
    sources = [*SOURCES, *UNIT_TESTS, *ROOT.glob("harness/**/*.cpp")]
    run = subprocess.run(
        ["clang-format", "--dry-run", "--Werror", "--ferror-limit=1", *sources],
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr


def test_no_lint() -> None:
    """clang-tidy is silent; what it was silent about once is not read again until it changes."""
    needs("clang-tidy")
    programs = [source for source in SOURCES if source.suffix == ".cpp"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        said = list(pool.map(lint, programs))
    assert not any(said), "\n".join(filter(None, said))


def lint(program: Path) -> str:
    """Returns what clang-tidy says of a program and the headers of its lab."""
    digest = hashlib.sha256()
    for path in [ROOT / ".clang-tidy", program, *sorted(program.parent.glob("*.hpp"))]:
        digest.update(path.read_bytes())
    stamp = ROOT / "build" / "tidy" / digest.hexdigest()
    if stamp.exists():
        return ""
    run = subprocess.run(
        ["clang-tidy", "--quiet", str(program), "--", "-std=c++20", "-pthread"],
        capture_output=True,
        text=True,
    )
    if run.returncode == 0:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.touch()
        return ""
    return run.stdout or run.stderr


def test_nothing_silences_the_lint_or_the_formatter() -> None:
    silenced = re.compile(r"NOLINT|clang-format off|#pragma (GCC|clang)")
    found = [told(path) for path in [*SOURCES, *UNIT_TESTS] if silenced.search(path.read_text())]
    assert not found


@every_lab
def test_a_lab_builds_when_copied_alone(lab: Path, tmp_path: Path) -> None:
    """It needs nothing outside itself, and gives no warning."""
    for source in sorted(
        path for pattern in ("Makefile", "*.?pp", "tests/*.?pp") for path in lab.glob(pattern)
    ):
        copy = tmp_path / source.relative_to(lab)
        copy.parent.mkdir(exist_ok=True)
        shutil.copy(source, copy)
    flags = "-std=c++20 -O0 -Wall -Wextra -Werror -pthread"
    run = subprocess.run(
        ["make", "-k", f"-j{os.cpu_count()}", f"CXXFLAGS={flags}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert run.returncode == 0, run.stderr
    built = {path.name for path in tmp_path.iterdir() if os.access(path, os.X_OK) and path.is_file()}
    assert built == {path.stem for path in lab.glob("*.cpp")}


def test_shared_files_are_the_same_in_every_lab() -> None:
    for name in ("Makefile", "posix.hpp", "options.hpp"):
        contents = {lab.joinpath(name).read_bytes() for lab in LABS}
        assert len(contents) == 1, f"{name} differs between labs"


def test_a_given_header_is_the_solved_version_of_the_lab_that_teaches_it() -> None:
    taught: dict[str, Path] = {}
    for header in (path for path in SOURCES if path.suffix == ".hpp"):
        taught.setdefault(header.name, header)
    different = [
        f"{told(header)} is not the solved {told(taught[header.name])}"
        for header in (path for path in SOURCES if path.suffix == ".hpp" and taught[path.name] != path)
        if header.read_text() != regions.solved(taught[header.name].read_text())
    ]
    assert not different, "\n".join(different)


def test_no_lab_includes_a_file_outside_itself() -> None:
    for source in [*SOURCES, *UNIT_TESTS]:
        lab = ROOT / source.relative_to(ROOT).parts[0]
        for name in re.findall(r'#include "(.*)"', source.read_text()):
            assert (source.parent / name).resolve().parent == lab, f"{told(source)} includes {name}"


def test_a_checked_call_is_the_one_that_the_label_names() -> None:
    """check("bind", bind(…)); or, for a result that was kept, the call stands a few lines above."""
    false = [f"{told(path)}:{number}" for path in SOURCES for number in false_labels(path.read_text())]
    assert not false, "\n".join(false)


def false_labels(text: str) -> list[int]:
    """Returns the numbers of the lines whose check("name", …) names another call than the one it checks."""
    found = []
    for use in re.finditer(
        r'\bcheck\(\s*"([^"]*)",\s*(?:static_cast<[^>]*>\()*(?:::|std::)?(\w+(\()?)?', text
    ):
        above = text[: use.start()].splitlines()[-10:]
        if use[3]:
            honest = use[2] == use[1] + "("
        else:
            honest = any(re.search(rf"\b{re.escape(use[1])}\(", line) for line in above)
        if not honest:
            found.append(text.count("\n", 0, use.start()) + 1)
    return found


def test_a_false_label_is_found() -> None:
    assert not false_labels(
        'check("bind", bind(a));\ncheck("bind",\n  ::bind(a));\nint r = recv(a);\ncheck("recv", r);\n'
    )
    assert false_labels('\ncheck("bind", listen(a));\ncheck("accept", result);\n') == [2, 3]


def test_the_exercises_are_well_formed() -> None:
    wrong = [
        f"{told(source)}: {fault}" for source in SOURCES for fault in exercise_faults(source.read_text())
    ]
    assert not wrong, "\n".join(wrong)


def exercise_faults(text: str) -> list[str]:
    try:
        found = regions.regions(text)
    except Malformed as error:
        return [str(error)]
    faults = [f"line {r.first + 1} is too wide" for r in found if len(r.todo.rstrip()) > regions.WIDEST]
    faults += [f"line {r.first + 1}: no solution" for r in found if not "".join(r.solution).strip()]
    if len(found) > regions.MOST_REGIONS:
        faults.append(f"{len(found)} exercises")
    if len({region.sentence for region in found}) < len(found):
        faults.append("a sentence stands twice")
    elif regions.restored(regions.starter(text), text) != text:
        faults.append("the solution put back does not give the file")
    return faults


def test_exercises_stand_in_the_labs_sources_only() -> None:
    for path in UNIT_TESTS:
        assert "SOLUTION" not in path.read_text(), told(path)


@pytest.mark.parametrize(
    "text",
    [
        "// BEGIN SOLUTION: a.\nx;\n",
        "x;\n// END SOLUTION\n",
        "// BEGIN SOLUTION: a.\n// BEGIN SOLUTION: b.\nx;\n// END SOLUTION\n// END SOLUTION\n",
        "// BEGIN SOLUTION\nx;\n// END SOLUTION\n",
        "// BEGIN SOLUTION: no full stop\nx;\n// END SOLUTION\n",
        "// BEGIN SOLUTION: a.\n// END SOLUTION\n",
        "/* BEGIN SOLUTION: a. */\nx;\n// END SOLUTION\n",
    ],
)
def test_a_malformed_exercise_is_found(text: str) -> None:
    assert exercise_faults(text)


def test_the_starter_of_one_region_solves_the_others() -> None:
    text = "a\n  // BEGIN SOLUTION: b.\n  c\n  // END SOLUTION\n// BEGIN SOLUTION: d.\ne\n// END SOLUTION\n"
    assert regions.starter(text) == "a\n  // TODO: b.\n// TODO: d.\n"
    assert regions.starter(text, only=1) == "a\n  c\n// TODO: d.\n"
    assert regions.solved(text) == "a\n  c\ne\n"
