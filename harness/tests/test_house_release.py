"""A students' release: complete, and without anything that they are to find themselves."""

from __future__ import annotations

import ast
import concurrent.futures
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from grading.model import Term
from labkit.build import LABS, dependencies
from releasing import depths, regions, students
from releasing.visible import is_hidden, visible_checks

ROOT = Path(__file__).resolve().parents[2]

every_lab = pytest.mark.parametrize("lab", LABS)


def sources(lab: str) -> list[Path]:
    return sorted((ROOT / LABS[lab]).glob("*.?pp"))


def exercises(lab: str) -> list[Path]:
    return [path for path in sources(lab) if regions.regions(path.read_text())]


def words(line: str) -> str:
    """The line as it is compared: without blanks, braces at its ends and a trailing comment."""
    return " ".join(line.split(" // ")[0].split()).removeprefix("} ").removesuffix(" {")


def is_telling(line: str) -> bool:
    """Tells whether a line says something: not a brace, not `return true;`."""
    return len(re.sub(r"\W", "", line)) >= 12


@dataclass
class Release:
    """A students' release of a lab at one depth, and where it lies."""

    lab: str
    depth: str
    target: Path


@pytest.fixture(
    scope="module", params=[(lab, depth) for lab in LABS for depth in depths.DEPTHS], ids="-".join
)
def released(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Release:
    lab, depth = request.param
    target = tmp_path_factory.mktemp("release") / lab
    students.release(lab, target, depth=depth)
    return Release(lab, depth, target)


def test_every_line_that_only_the_solution_has_is_gone(released: Release) -> None:
    lab, target = released.lab, released.target
    in_solutions, elsewhere = set(), set()
    for path in sources(lab):
        text = path.read_text()
        depth = depths.depth_of(lab, path.name, released.depth)
        shown = {words(line) for line in depths.starter(lab, path.name, text, depth).splitlines()}
        in_solutions |= {words(line) for line in text.splitlines()} - shown
        elsewhere |= shown
    given = [path for earlier in LABS if earlier < lab for path in sources(earlier)]
    given += (ROOT / LABS[lab]).glob("tests/*.cpp")
    for path in [*given, *ROOT.glob("harness/labkit/*.cpp")]:
        elsewhere |= {words(line) for line in path.read_text().splitlines()}
    given_text = "\n".join(elsewhere)
    secret = {line for line in in_solutions if is_telling(line) and line not in given_text}
    found = []
    for path in (path for path in target.rglob("*") if path.is_file()):
        lines = path.read_text().splitlines()
        if path.suffix in (".cpp", ".hpp"):
            leaked = secret & {words(line.lstrip("/* ")) for line in lines}
        else:  # a page or a check may have it in the middle of a sentence
            text = " ".join(words(line) for line in lines)
            leaked = {line for line in secret if line in text}
        found += [f"{path.relative_to(target)}: {line}" for line in leaked]
    assert not found, "\n".join(found)


def test_every_exercise_has_a_line_that_stands_nowhere_else_in_its_lab(released: Release) -> None:
    """Except where the whole solution is one line: an idiom, which the lab may show elsewhere."""
    lab, target = released.lab, released.target
    given = {
        words(line) for path in (target / LABS[lab]).rglob("*.?pp") for line in path.read_text().splitlines()
    }
    copied = [
        f"{path.name}: {region.sentence}"
        for path in exercises(lab)
        for region in regions.regions(path.read_text())
        if len(region.solution) > 1 and all(words(line) in given for line in region.solution)
    ]
    assert not copied, "\n".join(copied)


def test_the_solution_put_back_gives_the_original(released: Release) -> None:
    for path in sources(released.lab):
        starter = (released.target / path.relative_to(ROOT)).read_text()
        if depths.depth_of(released.lab, path.name, released.depth) == "guided":
            assert regions.restored(starter, path.read_text()) == path.read_text()
        elif path in exercises(released.lab):
            assert "not written yet" in starter and len(starter.splitlines()) < len(
                path.read_text().splitlines()
            )
        else:
            assert starter == path.read_text()


def test_a_release_holds_what_is_for_students_only(released: Release) -> None:
    lab, target = released.lab, released.target
    names = {str(path.relative_to(target)) for path in target.rglob("*")}
    assert not [
        name
        for name in names
        if re.search(r"mistakes|attacks|releasing|harness/tests|instructor|answers", name)
    ]
    assert not [name for name in names if (later := re.search(r"lab\d\d", name)) and later[0] > lab]
    assert not [path for path in target.rglob("*") if path.is_symlink()]
    for path in (path for path in target.rglob("*") if path.is_file()):
        assert b"\0" not in path.read_bytes(), f"{path} is binary"
        assert b"BEGIN SOLUTION" not in path.read_bytes() or path.suffix == ".py", path


def test_students_get_the_pages_for_all_but_no_answers(released: Release) -> None:
    target = released.target
    assert (target / "handouts" / "machines.md").exists()
    for page in (target / "handouts").glob("*.md"):
        assert "answers.md" not in page.read_text(), page.name
    for page in (ROOT / "handouts").glob("*.md"):
        assert "answers.md" not in page.read_text() or page.name == "instructors.md", page.name


def test_hidden_checks_are_not_released(released: Release) -> None:
    target = released.target
    for path in sorted((ROOT / "harness" / "checks").glob("test_lab*.py")):
        name = path.name[5:10]
        hidden = [node for node in ast.parse(path.read_text()).body if is_hidden(node, name, Term())]
        for word in (node.name.removeprefix("test_") for node in hidden if isinstance(node, ast.FunctionDef)):
            run = subprocess.run(
                ["grep", "-rlw", "-e", word, "-e", f"test_{word}", target], capture_output=True, text=True
            )
            assert not run.stdout, f"{word} is in {run.stdout}"


def test_links_in_the_handouts_lead_somewhere(released: Release) -> None:
    for page in released.target.rglob("*.md"):
        prose = re.sub(r"^```.*?^```$|`[^`\n]+`", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
        for link in re.findall(r"\]\(([^):#]+)", prose):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@dataclass
class Graded:
    """A starter's grades: the grader's exit status, what it printed, its tests, the files of each solved
    program.
    """

    status: int
    printed: str
    tests: list[dict[str, Any]]
    built_from: dict[str, set[str]]


Grades = dict[tuple[str, str], "concurrent.futures.Future[Graded]"]


@pytest.fixture(scope="module")
def grades(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grades]:
    """The starters that this session asks for, graded several at a time: most of it is waiting."""
    items = [item for item in request.session.items if isinstance(item, pytest.Function)]
    asked = [item.callspec.params for item in items if "grades" in item.fixturenames]
    wanted = sorted({(str(given["lab"]), str(given["depth"])) for given in asked})
    folder = tmp_path_factory.mktemp("starter")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        yield {one: pool.submit(grade_starter, *one, folder / "-".join(one)) for one in wanted}


def take_built(lab: str, target: Path) -> None:
    """Copies the programs built from files without exercises: they are the same in the starter."""
    todo = {path.name for path in exercises(lab)}
    for listing in sorted((ROOT / LABS[lab]).glob("*.d")):
        program = listing.with_suffix("")
        if program.exists() and not todo & set(listing.read_text().replace("\\\n", " ").split()):
            shutil.copy(listing, target / LABS[lab])
            shutil.copy(program, target / LABS[lab])


def grade_starter(lab: str, depth: str, target: Path) -> Graded:
    students.release(lab, target, depth=depth)
    take_built(lab, target)
    command = ["harness/grade", lab, "--quiet"]
    run = subprocess.run(
        command, cwd=target, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    tests = json.loads((target / "build/grade/results.json").read_text())["tests"]
    return Graded(run.returncode, run.stdout, tests, dependencies(ROOT / LABS[lab]))


@every_lab
@pytest.mark.parametrize("depth", depths.DEPTHS)
def test_the_starter_builds_and_scores_nothing(lab: str, depth: str, grades: Grades) -> None:
    """Points are for what a student did; and each exercise is missed by some check."""
    graded = grades[lab, depth].result()
    assert graded.status == 1, graded.printed
    assert not [test["name"] for test in graded.tests if test["extra_data"]["rung"] == "build"]
    scored = [test["name"] for test in graded.tests if test["score"]]
    assert not scored, f"the untouched starter has points for {scored}"
    todo = {path.name for path in exercises(lab)}
    passed_over = set(todo)
    for test in graded.tests:
        programs = test["extra_data"]["programs"]
        concerned = {name for program in programs for name in graded.built_from.get(program, ())} & todo
        if test["extra_data"]["verdict"] == "fail":
            assert (
                concerned
            ), f"{test['name']} fails, and starts no program with an exercise\n{test['output']}"
            passed_over -= concerned
        else:
            assert test["extra_data"]["verdict"] == "pass", test["output"]
    assert not passed_over, f"no check fails for the TODOs of {passed_over}"


@every_lab
def test_each_exercise_has_a_section_of_its_own_in_the_contracts(lab: str) -> None:
    """At depth build it is all that a student has: its TODO leads there."""
    page = (ROOT / "handouts" / "contracts" / f"{lab}.md").read_text()
    sections = dict(re.findall(r"^## (.+)\n((?:(?!## ).*\n)*)", page, re.MULTILINE))
    names = {path.stem for path in exercises(lab)}
    assert names <= set(sections), f"no section: {sorted(names - set(sections))}"
    brief = [name for name in sorted(names) if len(sections[name].split()) < 8]
    assert not brief, f"nearly empty: {brief}"


@every_lab
def test_the_handout_says_of_each_exercise_whether_it_is_written_or_completed(lab: str) -> None:
    """As in the release without --depth."""
    page = (ROOT / "handouts" / f"{lab}.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if re.match(r"\| `\w+(\.hpp)?`", line)]
    for path in exercises(lab):
        built = depths.depth_of(lab, path.name, term=Path("none.ini")) == "build"
        words = r"\b(write|build)\b" if built else r"\b(complete|put in|mend)\b"
        name = path.name if path.suffix == ".hpp" else path.stem
        said = [what for programs, what in rows if f"`{name}`" in programs]
        assert any(re.search(words, what) for what in said), f"{name}: {said}"


@every_lab
def test_each_program_written_from_its_contract_is_an_exercise(lab: str) -> None:
    assert set(depths.MAIN[lab]) <= {path.name for path in exercises(lab)}


def test_a_release_replaces_only_a_release(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    with pytest.raises(students.Unreleasable):
        students.release("lab01", tmp_path)
    assert (tmp_path / "precious").exists()
    with pytest.raises(students.Unreleasable):
        students.release("lab01", ROOT)


def test_a_release_keeps_the_history_of_the_one_before(tmp_path: Path) -> None:
    students.release("lab01", tmp_path / "release")
    (tmp_path / "release" / ".git").mkdir()
    (tmp_path / "release" / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    students.release("lab01", tmp_path / "release")
    assert (tmp_path / "release" / ".git" / "HEAD").exists()


def test_a_hidden_check_goes_with_what_only_it_uses(tmp_path: Path) -> None:
    source = (
        '"""Checks."""\n\nSHARED = 1\nONLY = 2\n\n\ndef _helper():\n    return ONLY\n\n\n'
        "@check(points=1, read='a', hidden=True)\ndef test_secret(lab):\n    _helper(SHARED)\n\n\n"
        "# on the next\n@check(points=1, read='a')\ndef test_open(lab):\n    SHARED\n\n\n"
        "@check(points=1, read='a', hidden=True)\ndef test_opened(lab):\n    SHARED\n\n\n"
        "@check(points=1, read='a')\ndef test_closed(lab):\n    SHARED\n"
    )
    term = tmp_path / "term.ini"
    term.write_text("[lab01]\nopened = 1 visible\nclosed = 1 hidden\n")
    left = visible_checks(source, "lab01", Term(term))
    assert re.findall(r"def (\w+)", left) == ["test_open", "test_opened"]
    assert "ONLY" not in left and "SHARED = 1" in left and "# on the next" in left
