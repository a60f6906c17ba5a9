"""The bytes of strangers: any cutting of a stream gives the same replies, under AddressSanitizer and UBSan.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[1] / "fuzz" / "lines.cpp"
INPUTS = os.environ.get("FUZZ_INPUTS", "20000")  # a million take half a minute


def test_the_line_protocol_withstands_random_streams(tmp_path: Path) -> None:
    program = tmp_path / "lines"
    command = ["g++", "-std=c++20", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover", "-w"]
    subprocess.run([*command, "-o", program, SOURCE], check=True)
    run = subprocess.run([program, INPUTS], capture_output=True, text=True)
    assert (run.returncode, run.stdout) == (0, f"{INPUTS} inputs, no finding\n"), run.stderr
