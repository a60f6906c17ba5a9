"""The names of the kernel's system calls on this machine; syscalls(2)."""

from __future__ import annotations

import functools
import os
import re
from pathlib import Path


@functools.cache
def names() -> dict[int, str]:
    """Each number to its name, by the C library's headers, which the compiler needs; empty without them."""
    machine = os.uname().machine
    for place in (f"{machine}-linux-gnu/asm/unistd_64.h", "asm/unistd_64.h", "asm-generic/unistd.h"):
        header = Path("/usr/include") / place
        if header.is_file():
            text = header.read_text(encoding="utf-8")
            lines = re.findall(r"^#define __NR(?:3264)?_(\w+) (\d+)$", text, re.MULTILINE)
            return {int(number): name for name, number in lines}
    return {}
