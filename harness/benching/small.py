"""Measurements without a load of clients: lab01's drivers, starting somebody, locks, queues, files."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import time
from pathlib import Path


from . import machine
from .measures import Measure, Point, seconds_of
from .schemes import HERE, ROOT, Scheme

CAS = "compare and swap, lines"
START = "start somebody"
SHARE = "share a counter"
QUEUE = "pass items on"
FILES = "send a file"
PROGRAMS = [
    "lab01_cas_stdin/stdin_cas",
    "lab01_cas_stdin/stdin_cas_regex",
    "lab06_threads/spawn_cost",
    "lab06_threads/race_lock",
    "lab06_threads/race_atomic",
    "lab06_threads/queue_load",
    "lab08_misc/file_server_copy",
    "lab08_misc/file_server_sendfile",
]


def _rate(command: list[object], count: int, given: Path = Path("/dev/null")) -> Measure:
    """How many of the `count` things that the command does with its input it does a second."""
    return lambda: {"per_second": count / seconds_of(command, given)}


class _Printed:
    """Figures that a program prints itself. One run gives one sample of each of them."""

    def __init__(self, *command: object) -> None:
        self.command = [str(word) for word in command]
        self.output = ""
        self.given: set[str] = set()  # what was taken out of this output already

    def figure(self, pattern: str, unit: str) -> Measure:
        def measure() -> dict[str, float]:
            if not self.output or pattern in self.given:
                done = subprocess.run(self.command, capture_output=True, text=True, timeout=300, check=True)
                self.output, self.given = (done.stdout + done.stderr)[-2000:], set()
            self.given.add(pattern)
            found = re.search(pattern, self.output)
            if found is None:
                raise machine.Trouble(f"{self.command[0]} printed no figure")
            return {unit: float(found[1])}

        return measure


def _file(scheme: Scheme, request: bytes, size: int) -> Measure:
    def measure() -> dict[str, float]:
        with machine.running(scheme) as (port, process), socket.create_connection(
            ("127.0.0.1", port)
        ) as client:
            client.sendall(request)
            buffer = bytearray(1 << 20)
            begin, received = time.monotonic(), 0
            while count := client.recv_into(buffer):
                received += count
            seconds = time.monotonic() - begin
            if received < size:
                raise machine.Trouble(f"{scheme.name} sent {received} of {size} bytes")
            used = process.cpu_times()
            return {
                "mib_per_second": size / seconds / 2**20,
                "cpu_seconds_per_gib": (used.user + used.system) * 2**30 / size,
            }

    return measure


def points(folder: Path, quick: bool) -> list[tuple[Point, Measure]]:
    """All small measurements; `folder` takes their input."""
    lines = 1_000_000 if quick else 10_000_000
    text = folder / f"cas_{lines}.txt"
    if not text.exists():
        with text.open("w") as out:
            out.writelines(f"{number} {number + 1}\n" for number in range(lines))
    found = []

    def add(table: str, name: str, measure: Measure) -> None:
        found.append((Point(table, name), measure))

    lab01 = ROOT / "lab01_cas_stdin"
    getline = machine.compile_contestant(HERE / "getline_cas.cpp", folder)
    add(CAS, "tr 0 1 (no parsing at all)", _rate(["tr", "0", "1"], lines, text))
    add(CAS, "stdin_cas", _rate([lab01 / "stdin_cas"], lines, text))
    add(CAS, "getline", _rate([getline], lines, text))
    add(CAS, "stdin_cas_regex", _rate([lab01 / "stdin_cas_regex"], lines, text))

    forks = 2_000 if quick else 20_000
    fork_loop = machine.compile_contestant(HERE / "fork_loop.cpp", folder)
    add(START, "fork, exit, wait: bare loop", _rate([fork_loop, forks], forks))
    spawn = _Printed(ROOT / "lab06_threads/spawn_cost", "-n", 20 if quick else 200)
    for resident in ("0", "10", "100"):
        row = rf"(?m)^ +{resident} MiB +"
        add(START, f"thread, {resident} MiB in use", spawn.figure(rf"{row}(\d+) us", "us"))
        add(START, f"fork, {resident} MiB in use", spawn.figure(rf"{row}\d+ us +(\d+) us", "us"))

    for name in ("race_lock", "race_atomic"):
        add(SHARE, name, _Printed(ROOT / "lab06_threads" / name).figure(r"([\d.]+) ns per increment", "ns"))

    items = 200_000 if quick else 2_000_000
    for told, room in (("16", 16), ("all", items)):
        queue = _Printed(ROOT / "lab06_threads/queue_load", "-c", room, "-i", items)
        add(
            QUEUE,
            f"blocking_queue, room for {told}",
            queue.figure(r"([\d.e+]+) items a second", "per_second"),
        )
    plain = machine.compile_contestant(HERE / "plain_queue.cpp", folder)
    add(QUEUE, "mutex and deque, no bound", _rate([plain, items], items))

    size = 256 << 20 if quick else 1 << 30
    (folder / "files").mkdir(exist_ok=True)
    with (folder / "files/file").open("wb") as file:
        file.truncate(size)
    # Into the page cache, for all alike.
    subprocess.run(["cat", folder / "files/file"], stdout=subprocess.DEVNULL, check=True)
    for name in ("file_server_copy", "file_server_sendfile"):
        scheme = Scheme(
            name, (str(ROOT / "lab08_misc" / name), "-p", "{port}", str(folder / "files")), "files"
        )
        add(FILES, name, _file(scheme, b"file\n", size))
    if shutil.which("nginx"):
        (folder / "nginx").mkdir(exist_ok=True)
        script = f"s|FOLDER|{folder / 'files'}|; s|PORT|{{port}}|"
        edited = f"sed '{script}' '{HERE / 'nginx.conf'}' > '{folder / 'nginx/conf'}'"
        serve = ("sh", "-c", f"{edited} && exec nginx -p '{folder / 'nginx'}' -c conf")
        # HTTP/0.9: no header.
        add(FILES, "nginx, sendfile", _file(Scheme("nginx", serve, "files"), b"GET /file\r\n", size))

    exchanges = 5_000 if quick else 100_000
    ping_pong = machine.compile_contestant(HERE / "ping_pong.cpp", folder)
    add("one connection", "bare ping-pong of 64 bytes", _rate([ping_pong, exchanges], exchanges))
    return found
