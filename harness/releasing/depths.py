"""How much of an exercise its starter shows. guided: all but its SOLUTION regions. build: what the student
has to write from its contract; of a program its opening comment, of a header its public interface."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator
from pathlib import Path

from grading.model import HARNESS, Unusable

from . import regions

DEPTHS = ("guided", "build")

# Each lab's main programs: at depth build unless the release or term.ini says otherwise.
MAIN = {
    "lab01": ("line_cas.hpp", "stdin_cas.cpp"),
    "lab02": (
        "connect_to.hpp",
        "listener.hpp",
        "send_all.hpp",
        "upper_server.cpp",
        "upper_client.cpp",
        "line_buffer.hpp",
    ),
    "lab03": ("udp_upper_server.cpp", "udp_upper_client_retry.cpp", "take_server.cpp", "take_client.cpp"),
    "lab04": ("upper_server.cpp", "super_server.cpp"),
    "lab05": ("upper_server.cpp", "upper_server_poll.cpp"),
    "lab06": (
        "blocking_queue.hpp",
        "rw_lock.hpp",
        "upper_server.cpp",
        "upper_server_pool.cpp",
        "upper_server_slow_pool.cpp",
    ),
    "lab07": ("bytes_server.cpp", "bytes_server_passing.cpp"),
    "lab08": (
        "self_pipe.cpp",
        "socket_stream.hpp",
        "file_server_copy.cpp",
        "chat_server.cpp",
        "chat_server_threads.cpp",
    ),
}

# Written from its contract at every depth.
CAPSTONE = ("lab08/chat_server.cpp", "lab08/chat_server_threads.cpp")


def depth_of(lab: str, name: str, wanted: str | None = None, term: Path = HARNESS / "term.ini") -> str:
    """Returns "guided" or "build" for a lab's file: as term.ini says (section [depth],
    `lab02/upper_server.cpp = guided`), else as `wanted` for the whole release, else as the lab's main
    programs are. Throws Unusable."""
    file = configparser.ConfigParser()
    file.read(term, encoding="utf-8")
    if f"{lab}/{name}" in CAPSTONE:
        return "build"
    depth = (
        file.get("depth", f"{lab}/{name}", fallback=None)
        or wanted
        or ("build" if name in MAIN.get(lab, ()) else "guided")
    )
    if depth not in DEPTHS:
        raise Unusable(f"{term}: {lab}/{name} = {depth}: write {' or '.join(DEPTHS)}")
    return depth


def starter(lab: str, name: str, text: str, depth: str) -> str:
    """Returns what a student receives of a file. A file without an exercise is given whole."""
    if not regions.regions(text):
        return text
    if depth == "guided":
        return regions.starter(text)
    return _interface(lab, name, text) if name.endswith(".hpp") else _program(lab, name, text)


def _todo(lab: str, name: str) -> str:
    return f"// TODO: write it. Its contract: handouts/contracts/{lab}.md#{Path(name).stem}.\n"


def _opening(text: str) -> str:
    """The comment that a source begins with."""
    comment = re.match(r"(?://.*\n)*", text)
    return comment[0] if comment else ""


def _program(lab: str, name: str, text: str) -> str:
    """The opening comment, and a program that says that it is not written yet."""
    return (
        _opening(text)
        + _todo(lab, name)
        + '#include <err.h>\n\nint main() {\n    errx(1, "not written yet");\n}\n'
    )


def _with_stdexcept(includes: re.Match[str]) -> str:
    return "".join(sorted([*includes[0].splitlines(keepends=True), "#include <stdexcept>\n"]))


# --- of a header its interface. What follows knows the form of this project's headers, not all of C++.

_ACCESS = re.compile(r"\s*(public|private|protected):[ \t]*\n")
_SCOPE = re.compile(
    r"(template\s*<[^{}]*>\s*)?(class|struct|union|namespace|extern \"C\")\b[^()=;]*$", re.DOTALL
)
_LEADING = re.compile(r"(\s*(//[^\n]*\n|#[^\n]*(\\\n[^\n]*)*\n))*\s*")


def _interface(lab: str, name: str, text: str) -> str:
    """The header with its includes, types, signatures and documentation; no private member, and no body of a
    function.
    """
    text = regions.solved(text)
    opening = _opening(text)
    body = "".join(_kept(text[len(opening) :], public=True))
    body = re.sub(r"\n{3,}", "\n\n", body)
    if "std::logic_error" in body and "#include <stdexcept>\n" not in body:
        body = re.sub(r"((?:#include <\w+>\n)+)", _with_stdexcept, body, count=1)
    # A program that includes it prints its own name first: say which header it is.
    body = body.replace('std::logic_error{"', f'std::logic_error{{"{name}: ')
    return opening + _todo(lab, name) + body


def _kept(text: str, public: bool) -> Iterator[str]:
    """Yields what of the items of a scope (a file, a namespace, a class) belongs to its interface."""
    place = 0
    while place < len(text):
        leading = _LEADING.match(text, place)
        start = leading.end() if leading else place
        if access := _ACCESS.match(text, place) or _ACCESS.match(text, start):
            public = access[1] == "public"
            if public:
                yield text[place : access.end()]
            place = access.end()
            continue
        if start >= len(text) or text[start] == "}":
            if public:
                yield text[place:]
            return
        end, brace = _item(text, start)
        if public:
            yield text[place:start]
            yield _without_body(text[start:end], brace - start if brace >= 0 else -1)
        place = end


def _item(text: str, start: int) -> tuple[int, int]:
    """Returns where the declaration at `start` ends, and where the brace of its body or scope opens (-1: it
    has none).
    """
    depth, place, brace = 0, start, -1
    while place < len(text):
        place = _past_literal(text, place)
        character = text[place]
        if character in "([":
            depth += 1
        elif character in ")]":
            depth -= 1
        elif character == ";" and depth == 0:
            return place + 1, brace if _SCOPE.match(text[start:brace]) else -1
        elif character == "{":
            close = _closing(text, place)
            if depth == 0:
                brace = place
                after = text[close:].lstrip()
                if _SCOPE.match(text[start:place]):
                    semicolon = close + len(text[close:]) - len(after)
                    return (semicolon + 1 if after.startswith(";") else close), brace
                if not after.startswith((",", "{", ";", ".", ")")) and "(" in text[start:place]:
                    return close, brace
            place = close
            continue
        place += 1
    return len(text), brace


def _past_literal(text: str, place: int) -> int:
    """Returns the place behind the comment, string or character that begins here, if one does."""
    literal = re.compile(r"//[^\n]*\n|\"(\\.|[^\"\\])*\"|'(\\.|[^'\\])+'").match(text, place)
    return _past_literal(text, literal.end()) if literal and literal.end() < len(text) else place


def _closing(text: str, place: int) -> int:
    """Returns the place behind the brace that closes the one at `place`."""
    depth = 0
    while place < len(text):
        place = _past_literal(text, place)
        depth += (text[place] == "{") - (text[place] == "}")
        place += 1
        if depth == 0:
            return place
    return place


def _without_body(item: str, brace: int) -> str:
    """A declaration as it stands; a scope with the interface of what is in it; a function that throws."""
    if brace < 0:
        return item
    head = item[:brace]
    if scope := _SCOPE.match(head):
        inner = item[brace + 1 : item.rindex("}")]
        return (
            head
            + "{"
            + "".join(_kept(inner, public=scope[2] != "class")).rstrip()
            + "\n"
            + item[item.rindex("}") :]
        )
    signature, *initializers = re.split(r"(?<=\))\s*(?:noexcept\s*)?:\s", head, maxsplit=1)
    if initializers:  # of a constructor: those of its bases stay, those of its members are the how
        bases = [
            one
            for one in re.findall(r"[\w:<>]+\{[^{}]*\}|[\w:<>]+\([^()]*\)", initializers[0])
            if not re.match(r"\w+_\W", one)
        ]
        if bases and not item[brace:].strip("{} \n"):
            return item
        head = f"{signature} : {', '.join(bases)} " if bases else f"{signature} "
    name = re.search(r"([~\w]+|operator\S+)\s*\(", head)
    if name and name[1].startswith("~"):
        return head + "{}"
    return (
        head
        + "{\n"
        + _indent(item)
        + f'    throw std::logic_error{{"{name[1] if name else "it"}: not written yet"}};\n'
        + _indent(item)
        + "}"
    )


def _indent(item: str) -> str:
    closing = [line for line in item.splitlines() if line.lstrip().startswith("}")]
    return closing[-1][: -len(closing[-1].lstrip())] if closing else "    "
