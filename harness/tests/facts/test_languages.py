"""What the compiler, the C++ library and Python do, as labs 1, 2 and 6 tell of it."""

from __future__ import annotations

import os
import platform
import queue
import resource
import shutil
import subprocess
import sysconfig
import threading
from pathlib import Path

import pytest
from fact_tools import alone

REGEX = r"""
#include <regex>
#include <string>
int main(int, char** argv) {
    const std::string line = "1" + std::string(std::stoul(argv[1]), ' ') + "2";
    return std::regex_search(line, std::regex{R"(\s*(\d+)\s+(\d+)\s*)"}) ? 0 : 1;
}
"""


@pytest.mark.parametrize(("target", "signed"), [("x86_64-linux-gnu", True), ("aarch64-linux-gnu", False)])
def test_a_plain_char_is_signed_on_x86_and_not_on_arm(target: str, signed: bool) -> None:
    """lab02#bytes: whether a plain char is signed depends on the machine: x86-64 yes, ARM no."""
    if not shutil.which("clang"):
        pytest.skip("needs clang, which knows both machines")
    command = ["clang", f"--target={target}", "-dM", "-E", "-x", "c", "/dev/null"]
    macros = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert ("__CHAR_UNSIGNED__" in macros) is not signed


def test_std_regex_recurses_once_for_each_character(tmp_path: Path) -> None:
    """lab01#another-driver: libstdc++ matches by recursion, and a long line overflows the stack of 8 MiB."""
    program = tmp_path / "regex"
    done = subprocess.run(["g++", "-x", "c++", "-o", program, "-"], input=REGEX, text=True)
    if done.returncode != 0:
        pytest.skip("needs g++")

    def stack_of_8_mib() -> None:
        resource.setrlimit(resource.RLIMIT_STACK, (8 << 20, resource.getrlimit(resource.RLIMIT_STACK)[1]))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    statuses = [
        subprocess.run([program, str(length)], preexec_fn=stack_of_8_mib).returncode
        for length in (1000, 200_000)
    ]
    assert statuses == [0, -11]


@alone()
def test_each_flush_is_a_system_call() -> None:
    """lab01#blocks, lab08#when-bytes-leave: a flush after each line costs a write for each line."""
    io = Path("/proc/self/io")
    if not io.exists():
        pytest.skip("needs /proc/PID/io")

    def writes() -> int:
        return int(next(line.split()[1] for line in io.read_text().splitlines() if line.startswith("syscw")))

    counts = []
    for flush in (True, False):
        with open(os.devnull, "w") as sink:
            before = writes()
            for _ in range(100):
                print("0 1", file=sink, flush=flush)
            sink.flush()
            counts.append(writes() - before)
    assert counts == [100, 1]


def test_a_get_makes_room_in_a_queue_and_task_done_does_not() -> None:
    """lab06#a-queue-that-waits: a get makes room for a put, also in Python's queue; join waits for
    task_done.
    """
    work: queue.Queue[int] = queue.Queue(maxsize=1)
    work.put(1)
    with pytest.raises(queue.Full):
        work.put_nowait(2)
    work.get()
    work.put_nowait(2)
    work.get()
    assert work.empty() and work.unfinished_tasks == 2
    work.task_done()
    work.task_done()
    work.join()


def test_pythons_lock_refuses_to_be_unlocked_twice() -> None:
    """lab06#locks: to unlock what is not locked is a RuntimeError in Python."""
    with pytest.raises(RuntimeError):
        threading.Lock().release()


def test_pythons_usual_interpreter_has_one_lock() -> None:
    """lab06#what-a-thread-costs: the usual build of Python has the GIL; free-threaded is a build of its
    own.
    """
    if platform.python_implementation() != "CPython":
        pytest.skip("needs CPython")
    assert not sysconfig.get_config_var("Py_GIL_DISABLED")
