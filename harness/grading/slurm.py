"""Grades a class on an existing Slurm cluster: an array job whose elements each take a share of the
submissions.
"""

from __future__ import annotations

import argparse
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .model import HARNESS, Unusable

SHARE = 30  # submissions an element: starting one costs about a second, whatever is in it


def grade_all(count: int, given: argparse.Namespace) -> None:
    """Submits the array job, and waits for its end; sbatch(1). The rows are in the output directory then.

    Every element takes each N-th submission, so that slow ones are spread. Throws Unusable if Slurm does not
    take it.
    """
    if shutil.which("sbatch") is None:
        raise Unusable("sbatch is not installed here: --engine slurm needs an existing Slurm cluster")
    parts = -(-count // SHARE)
    logs = given.out.resolve() / "slurm"
    logs.mkdir(exist_ok=True)
    words: list[str | Path] = [
        HARNESS / "grade-class",
        given.submissions.resolve(),
        "--out",
        given.out.resolve(),
    ]
    words += [
        "--jobs",
        "1",
        *(["--labs", *given.labs] if given.labs else []),
        *(["--trust"] if given.trust else []),
    ]
    words += ["--part"]
    script = f"{shlex.join(map(str, words))} $SLURM_ARRAY_TASK_ID/{parts}"
    command = ["sbatch", "--wait", "--job-name=grade-class", f"--array=0-{parts - 1}", "--cpus-per-task=1"]
    command += [f"--output={logs}/%a.log", f"--wrap={script}"]
    run = subprocess.run(command, stdout=sys.stderr)
    if run.returncode != 0:
        raise Unusable(f"the array job ended with status {run.returncode}: see {logs}")
