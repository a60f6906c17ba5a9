"""A file of checks without those that students do not receive."""

from __future__ import annotations

import ast

from grading.model import Term
from labkit.causes import Declaration


def visible_checks(source: str, lab: str, term: Term) -> str:
    """Returns the file without its hidden checks, and without what only they used."""
    tree = ast.parse(source)
    removed: list[ast.stmt] = []
    more: list[ast.stmt] = [node for node in tree.body if is_hidden(node, lab, term)]
    while more:
        removed += more
        kept = [node for node in tree.body if node not in removed]
        used_by_removed = set().union(*(_used(node) for node in removed))
        more = [
            node
            for node in kept
            if (name := _name(node)) in used_by_removed
            and not any(name in _used(other) for other in kept if other is not node)
        ]
    return _without(source, removed)


def visible_points(source: str, lab: str, term: Term) -> float:
    """Returns the points of the file's checks that are not hidden."""
    counted = [counts for node in ast.parse(source).body if (counts := _counts(node, lab, term))]
    return sum(points for points, hidden in counted if not hidden)


def is_hidden(node: ast.stmt, lab: str, term: Term) -> bool:
    """Tells whether a statement of the file is a hidden check, this term."""
    counts = _counts(node, lab, term)
    return counts is not None and counts[1]


def _counts(node: ast.stmt, lab: str, term: Term) -> tuple[float, bool] | None:
    """Returns a check's points and whether it is hidden, this term; nothing if the statement is no check."""
    if not isinstance(node, ast.FunctionDef):
        return None
    for decorator in node.decorator_list:
        if isinstance(decorator, ast.Call) and getattr(decorator.func, "id", "") == "check":
            given = {keyword.arg: keyword.value for keyword in decorator.keywords}
            points = given.get("points") or decorator.args[0]
            hidden = ast.literal_eval(given["hidden"]) if "hidden" in given else False
            declaration = Declaration(ast.literal_eval(points), "", hidden=hidden)
            return term.of(lab, node.name.removeprefix("test_"), declaration)
    return None


def _name(node: ast.stmt) -> str:
    """Returns the name that a top-level statement defines, "" if it is none that may go (an import, a
    docstring).
    """
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return node.name
    if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return ""


def _used(node: ast.stmt) -> set[str]:
    names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
    # A fixture is used by its name.
    names |= {name.arg for name in ast.walk(node) if isinstance(name, ast.arg)}
    return names


def _without(source: str, removed: list[ast.stmt]) -> str:
    """Returns the source without these statements, their decorators, and the comments right above them."""
    lines = source.splitlines(keepends=True)
    for node in sorted(removed, key=lambda node: node.lineno, reverse=True):
        first = (
            min([node.lineno, *(decorator.lineno for decorator in getattr(node, "decorator_list", []))]) - 1
        )
        while first and lines[first - 1].startswith("#"):
            first -= 1
        while first and not lines[first - 1].strip():
            first -= 1
        del lines[first : node.end_lineno]
    return "".join(lines)
