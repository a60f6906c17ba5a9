"""Starts and ends servers, asks load_client, and reads what the kernel tells of their cost."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from .schemes import HERE, LIBRARIES, ROOT, Scheme

LOAD_CLIENT = ROOT / "lab07_prefork/load_client"
FLAGS = "-std=c++20 -O2 -pthread"  # for all contestants


class Trouble(Exception):
    """A contestant did not start, did not answer, or answered wrongly."""


def build(programs: list[str]) -> None:
    """Builds programs, given as paths below the root, by their labs' own Makefiles, but optimized."""
    by_lab: dict[str, list[str]] = {}
    for program in programs:
        lab, _, name = program.partition("/")
        by_lab.setdefault(lab, []).append(name)
    for lab, names in by_lab.items():
        subprocess.run(
            ["make", "-B", "-s", "-j2", "-C", str(ROOT / lab), f"CXXFLAGS={FLAGS}", *sorted(set(names))],
            check=True,
            stdout=subprocess.DEVNULL,
        )


def compile_contestant(source: Path, folder: Path, libraries: Sequence[str] = ()) -> Path:
    """Compiles a small program of the bench's own."""
    program = folder / source.stem
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        subprocess.run(["g++", *FLAGS.split(), "-o", str(program), str(source), *libraries], check=True)
    return program


def installed_peers(folder: Path) -> list[Scheme]:
    """The upper service on those libraries that are installed; compiled into `folder`."""
    found = []
    for name, (source, header, libraries) in LIBRARIES.items():
        if Path(header).exists():
            program = compile_contestant(HERE / source, folder, libraries)
            found.append(Scheme(name, (str(program), "{port}"), "upper", peer=True))
    return found


def raise_descriptor_limit() -> int:
    """As many open files as may be; returns how many that is. The programs inherit it."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def _free_port() -> int:
    """A port below the range from which the kernel takes clients' ports: nobody is given it meanwhile."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def _listens(port: int) -> bool:
    wanted = f":{port:04X}"
    for kind in ("tcp", "tcp6"):
        with contextlib.suppress(OSError), open(f"/proc/net/{kind}") as table:
            next(table)
            for line in table:
                _, local, _, state, *_ = line.split()
                if state != "0A":  # who listens comes first; all others may be tens of thousands
                    break
                if local.endswith(wanted):
                    return True
    return False


@contextlib.contextmanager
def running(scheme: Scheme) -> Iterator[tuple[int, psutil.Process]]:
    """The server on a port of its own; its log goes nowhere."""
    port = _free_port()
    command = [word.replace("{port}", str(port)) for word in scheme.command]
    with subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            end = time.monotonic() + 10
            while not _listens(port):
                if process.poll() is not None or time.monotonic() > end:
                    raise Trouble(f"{scheme.name} does not listen: {' '.join(command)}")
                time.sleep(0.005)
            yield port, psutil.Process(process.pid)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                pass
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def load(port: int, *arguments: object, service: str, patience: int = 20) -> dict[str, float]:
    """What load_client measures; adds `cpu_us`: CPU of the whole machine but the client's, for a request."""
    command = [
        str(LOAD_CLIENT),
        "-p",
        str(port),
        "-m",
        service,
        "-w",
        str(patience),
        "--json",
        *map(str, arguments),
        "127.0.0.1",
    ]
    before = _busy_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    busy = _busy_seconds() - before
    if done.returncode != 0:
        raise Trouble((done.stderr or done.stdout).strip())
    told: dict[str, float] = json.loads(done.stdout)
    told["cpu_us"] = max(0.0, busy - told["client_cpu_seconds"]) / told["requests"] * 1e6
    told["client_share"] = told["client_cpu_seconds"] / max(told["seconds"], 1e-9)
    return told


def _busy_seconds() -> float:
    """CPU seconds that the machine has worked, with those of children not waited for and of the network."""
    user, nice, system, _idle, _iowait, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def memory(process: psutil.Process) -> int:
    """Bytes of the server and its children in memory, shared pages divided among their users (PSS)."""
    total = 0
    for one in [process, *process.children(recursive=True)]:
        with contextlib.suppress(OSError, psutil.Error):
            for line in Path(f"/proc/{one.pid}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


@contextlib.contextmanager
def silent_clients(port: int, count: int) -> Iterator[None]:
    """So many connections that have been answered once, and then say nothing."""
    with contextlib.ExitStack() as open_ones:
        clients = []
        for _ in range(count):
            client = open_ones.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            client.sendall(b"A")
            clients.append(client)
        for client in clients:
            if not client.recv(1):
                raise Trouble("the server closed a silent connection")
        yield


def find_service(scheme: Scheme) -> str:
    """Asks a peer what it speaks."""
    with running(scheme) as (port, _), socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"3\n")
        reply = client.recv(10)
        if reply.startswith(b"*"):
            return "bytes"
        client.sendall(b"a")
        reply += client.recv(10)
        return {b"3\nA": "upper", b"3\na": "echo"}.get(reply) or _unknown(scheme, reply)


def _unknown(scheme: Scheme, reply: bytes) -> str:
    raise Trouble(f"{scheme.name} answers {reply!r}: neither bytes, upper nor echo")
