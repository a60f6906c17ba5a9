"""Whether a sanitizer's silence means anything: the program may not tell it what to report, and it has to
work here.
"""

from __future__ import annotations

import functools
import re
import subprocess
import tempfile
from pathlib import Path

from .kernel import NOTHING

# What the compiler itself calls in a program with -fsanitize=thread. Whoever calls or defines more, talks to
# the sanitizer.
_COMPILERS_OWN = re.compile(
    r"__tsan_(init|func_(entry|exit)|vptr_(update|read)|(read|write)_range|(unaligned_)?(volatile_)?"
    r"(read|write)\d+(_pc)?|"
    r"(unaligned_)?volatile_(read|write)\d+|atomic\w+|mem(cpy|set|move))"
)
_ANY = re.compile(r"__[tal]san_|__ubsan_|__sanitizer_|Annotate[A-Z]|RunningOnValgrind")

# The compiler for sanitized programs: a source cannot ask whether it is sanitized, nor leave a function out.
UNSEEN = (
    "-U__SANITIZE_THREAD__",
    "-D_GLIBCXX_TSAN=1",
    "-Dno_sanitize_thread=unused",
    "-D__no_sanitize_thread__=unused",
    "'-Dno_sanitize(...)=unused'",
    "'-D__no_sanitize__(...)=unused'",
)


def words_to_sanitizer(program: Path, variant: str) -> list[str]:
    """The functions by which a program would tell the sanitizer what not to see, or ask if it is there."""
    if variant == "asan":
        return []  # a crash is what it tells, and UBSan's calls are many
    run = subprocess.run(
        ["/usr/bin/readelf", "--symbols", "--wide", str(program)],  # a tenth of the time of nm
        env=NOTHING,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        timeout=60,
    )
    found = []
    for line in run.stdout.decode(errors="backslashreplace").splitlines():
        if not _ANY.search(line):  # as nearly all
            continue
        words = line.split(maxsplit=7)  # number, value, size, type, binding, visibility, section, name
        if len(words) < 8:
            continue
        name = words[7].partition("@")[0]
        called = words[6] == "UND"
        if _ANY.match(name) and not (variant == "tsan" and called and _COMPILERS_OWN.fullmatch(name)):
            found.append(name)
    return sorted(set(found))


@functools.cache
def thread_sanitizer_works() -> bool:
    """Whether a race in a program of the harness's own is reported on this machine."""
    source = (
        "#include <thread>\nint x;\nint main() { std::thread other{[] { x = 1; }}; x = 2; other.join(); }\n"
    )
    with tempfile.TemporaryDirectory() as place:
        program = Path(place, "race")
        command = [
            "g++",
            "-std=c++20",
            "-O1",
            "-pthread",
            "-fsanitize=thread",
            "-x",
            "c++",
            "-",
            "-o",
            str(program),
        ]
        try:
            subprocess.run(command, input=source.encode(), check=True, capture_output=True)
            run = subprocess.run([program], env=NOTHING, capture_output=True, timeout=60)
        except (OSError, subprocess.SubprocessError):
            return False
        return b"WARNING: ThreadSanitizer: data race" in run.stderr
