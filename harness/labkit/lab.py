"""A lab under judgement: starts its programs, and what the harness puts around them."""

from __future__ import annotations

import contextlib
import os
import re
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from . import kernel
from .box import Box, given_beside
from .build import Build, make
from .client import Datagrams, Listener, Peer
from .program import TOLERATED_OUTPUT, Program, _last_lines, _status_name, killed_for_too_much, sanitizer_report
from .steps import Cause, CouldNotTell, Failed, difference, show, step
from .waiting import Missed, await_fact, poll

ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
    "TSAN_OPTIONS": "io_sync=0:atexit_sleep_ms=0",  # a read after a write puts threads in no order: every race shows
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Server(Program):
    """A program that listens: clients are made from it. `ports` are those it was seen to listen on."""

    ports: list[int]
    address: str

    @property
    def port(self) -> int:
        return self.ports[0]

    def connect(self, name: str, port: int | None = None, receive_buffer: int = 0) -> Peer:
        """Connects a client; `name` is what the steps call it. receive_buffer: bytes, for a client that is to be slow."""
        with step(f"{name} connects"):
            begin = time.time()
            return Peer(self._socket(port, receive_buffer), name, self, begin)

    def connect_all(self, *names: str) -> list[Peer]:
        """Connects several clients, in this order: one step."""
        with step(f"{', '.join(names)} connect" if len(names) < 9 else f"{len(names)} clients connect"):
            return [Peer(self._socket(None, 0), name, self, time.time()) for name in names]

    def crowd(self, most: int) -> list[Peer]:
        """Connects `most` clients, or as many as the harness may have descriptors for: one step."""
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        count = min(most, hard - 200)
        with step(f"{count} clients connect"):
            return [Peer(self._socket(None, 0), f"client {number}", self) for number in range(1, count + 1)]

    def errno_of_client(self, name: str) -> int:
        """Connects a client that only reads; returns the errno with which connect or recv fails, 0 if neither does.

        For a server that resets at once: the reset may come before the client has looked at its new connection.
        """
        with step(f"{name} connects and reads") as current, socket.socket() as client:
            client.setblocking(False)
            client.connect_ex((self.address, self.port))
            number = 0

            def ended() -> bool:
                nonlocal number
                try:
                    client.recv(1)
                except BlockingIOError:
                    return False
                except OSError as error:
                    number = error.errno or 0
                return True

            try:
                await_fact(ended)
            except Missed:
                raise self.failure("nothing came, not even an end") from None
            current.outcome = os.strerror(number) if number else "no error"
            return number

    def _socket(self, port: int | None, receive_buffer: int) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        client = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.setblocking(False)
        client.connect_ex((self.address, port or self.port))
        try:
            await_fact(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) or _connected(client))
        except Missed:
            raise self.failure("no connection: the handshake is not completed", rung="connect") from None
        if not _connected(client):
            raise self.failure("the connection is refused", rung="connect")
        return client


def _connected(client: socket.socket) -> bool:
    with contextlib.suppress(OSError):
        client.getpeername()
        return True
    return False


@dataclass
class Run:
    """A program that has run to its end."""

    name: str
    status: int  # negative: the signal that killed it
    stdout: bytes
    stderr: bytes
    report: Failed | None = None  # a sanitizer's, if the run was to have one

    def expect_status(self, status: int = 0, cause: Cause = None) -> Run:
        with step(f"{self.name} ended with {_status_name(status)}") as current:
            if self.status != status:
                raise Failed(_status_name(self.status), cause=cause, otherwise="wrong_exit_status", details=self._words())
            current.outcome = "seen"
        return self

    def expect_output(self, data: bytes, cause: Cause = None) -> Run:
        """stdout has to be these bytes."""
        with step(f"{self.name} printed {show(data)}") as current:
            if self.stdout != data:
                details = [*difference(data, self.stdout), *_last_lines("stderr", self.stderr.decode(errors="replace"))]
                raise Failed("other output", rung="bytes", cause=cause, details=details)
            current.outcome = "seen"
        return self

    def expect_match(self, pattern: str, cause: Cause = None, stream: str = "stdout") -> re.Match[str]:
        """Some part of the output has to match the regular expression; returns the match."""
        with step(f"{self.name} printed /{pattern}/ on {stream}") as current:
            text: str = getattr(self, stream).decode(errors="replace")
            match = re.search(pattern, text, re.MULTILINE)
            if match is None:
                raise Failed("not printed", cause=cause, details=self._words())
            current.outcome = "seen"
            return match

    def _words(self) -> list[str]:
        return [
            *_last_lines("stdout", self.stdout.decode(errors="replace")),
            *_last_lines("stderr", self.stderr.decode(errors="replace")),
        ]


@dataclass
class Lab:
    """The fixture `lab` of every check. Programs that it starts end with the check."""

    builds: dict[str, Build]  # "lab05" to its build
    name: str  # "lab05"
    scratch: Path  # an empty directory that is the programs' own, new for each check
    box: Box = field(default_factory=Box)
    shim: Path | None = None  # the compiled labkit/faults.cpp
    programs: list[Program] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # names of the lab's programs that the check has started
    random: Random = field(default_factory=lambda: Random(1))  # --seed: for checks that draw their input

    @property
    def given(self) -> Path:
        """The directory of what the programs may read, and not change."""
        return given_beside(self.scratch)

    # --- starting programs

    def server(
        self, name: str, *arguments: str, port: int = 0, datagrams: bool = False, listeners: int = 1, **surroundings: object
    ) -> Server:
        """Starts a server on a port of the kernel's choice and waits until it listens: a fact of the kernel, no probe.

        datagrams: it is one for UDP, which receives without listening. listeners: the sockets that it listens on, of
        which it makes one after the other. Surroundings as in start(). Also checks the first line on stdout.
        """
        sockets = kernel.receiving if datagrams else kernel.listening
        with step(f"{name} {' '.join(arguments)}".strip() + " listens") as current:
            server = self._start(Server, name, ["-p", str(port), *arguments], **surroundings)  # type: ignore[arg-type]
            assert isinstance(server, Server)
            with contextlib.suppress(Missed):
                await_fact(lambda: len(sockets(server.pid)) >= listeners or server.status() is not None)
            found = sockets(server.pid)
            if not found:
                if server.status() is not None:
                    server.asked_to_end = True
                    server._explain_last_words()
                    raise Failed("it has ended", rung="exited", cause="exited_early" if (server.status() or 0) >= 0 else "crashed", details=server.evidence())
                raise Failed("it does not listen", rung="listen", cause="not_listening", details=server.evidence())
            with contextlib.suppress(Missed):
                await_fact(lambda: server.stdout.text.count("\n") >= len(found) or server.status() is not None)
            found = sockets(server.pid) or found  # a UDP socket that is being connected to a peer was there for a moment
            server.ports = [entry.port for entry in found]
            server.address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(found[0].address, found[0].address)
            spelled = [
                f"listening on [{s.address}]:{s.port}" if ":" in s.address else f"listening on {s.address}:{s.port}"
                for s in found
            ]
            lines = server.stdout.text.splitlines()[: len(spelled)]
            if sorted(lines) != sorted(spelled):
                raise Failed(
                    "it listens, and says something else",
                    rung="listen",
                    cause="wrong_first_line",
                    details=difference("\n".join(spelled).encode(), "\n".join(lines).encode()),
                )
            current.outcome = f"on port {', '.join(map(str, server.ports))}"
        return server

    def start(self, name: str, *arguments: str, **surroundings: object) -> Program:
        """Starts a program.

        Surroundings: stdin=True for one that is typed to (default: its stdin is empty); descriptors=N limits its
        open files; faults={"send": 7} makes each send take at most 7 bytes (see faults.cpp); cwd, env;
        variant="tsan" runs the sanitized program; path=PATH runs that file instead.
        """
        with step(f"{name} {' '.join(arguments)}".strip() + " starts"):
            return self._start(Program, name, list(arguments), **surroundings)  # type: ignore[arg-type]

    def run(
        self, name: str, *arguments: str, input: bytes | Path = b"", reported: bool = False, **surroundings: object
    ) -> Run:
        """Runs a program to its end, with `input` (bytes or a file) on stdin; returns its status and output.

        reported: a sanitizer's report is what is looked for, and no failure.
        """
        with step(f"{name} {' '.join(arguments)}".strip() + (f" with {show(input)}" if input and isinstance(input, bytes) else "")) as current, \
                tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:  # fmt: skip
            if isinstance(input, bytes):
                given.write(input)
                given.seek(0)
            stdin = given if isinstance(input, bytes) else input.open("rb")
            argv, cwd, env, descriptors = self._surroundings(name, list(arguments), **surroundings)  # type: ignore[arg-type]
            process, pid = self.box.start(argv, cwd=cwd, env=env, stdin=stdin, stdout=out, stderr=err, descriptors=descriptors)
            most = TOLERATED_OUTPUT + os.fstat(stdin.fileno()).st_size
            seen = [0.0]

            def printed() -> int:
                return max(os.fstat(stream.fileno()).st_size for stream in (out, err))

            def progressed() -> bool:
                """It ends, or works: a program that is computing or printing is given more time."""
                busy = kernel.cpu_seconds(pid) + printed()
                if process.poll() is None and busy - seen[0] < 0.05:
                    return False
                seen[0] = busy
                return True

            try:
                while process.poll() is None and printed() <= most:
                    await_fact(progressed)
            except Missed as missed:
                details = kernel.table(pid)
                kernel.kill_family(process.pid)
                process.wait()
                err.seek(0)
                raise sanitizer_report(argv[0], err.read().decode(errors="replace")) or Failed(
                    f"still runs after {missed.seconds:.1f} s", cause="does_not_end", details=details
                ) from None
            if printed() > most:
                kernel.kill_family(process.pid)
                process.wait()
                raise Failed("it printed without end, and was killed", rung="exited", cause="floods")
            out.seek(0), err.seek(0)
            result = Run(name, self.box.status(process) or 0, out.read(most), err.read(most))
            if report := killed_for_too_much(self.box, result.status):
                raise report
            current.outcome = _status_name(result.status)
            text = result.stderr.decode(errors="replace")
            if "cannot be preloaded" in text:
                raise CouldNotTell("the library that injects faults was not loaded")
            result.report = sanitizer_report(argv[0], text)
            if result.report and not reported:
                raise result.report
            return result

    def _start(self, kind: type[Program], name: str, arguments: list[str], *, stdin: bool = False, **surroundings: object) -> Program:
        argv, cwd, env, descriptors = self._surroundings(name, arguments, **surroundings)  # type: ignore[arg-type]
        try:
            program = kind(self.box, argv, cwd=cwd, env=env, stdin=stdin, descriptors=descriptors)
        except OSError as error:
            raise Failed(f"does not start: {error.strerror}", rung="start", cause="does_not_start") from None
        program.name = name
        self.programs.append(program)
        if surroundings.get("faults"):
            loaded = poll(lambda: kernel.has_mapped(program.pid, "faults.so") or program.status() is not None, 10.0)
            if not loaded:
                raise CouldNotTell("the library that injects faults was not loaded")
        return program

    def _surroundings(
        self, name: str, arguments: list[str], *, descriptors: int = 0, faults: dict[str, int] | None = None,
        cwd: Path | None = None, env: dict[str, str] | None = None, variant: str | None = None, path: Path | None = None,
    ) -> tuple[list[str], Path, dict[str, str], int]:  # fmt: skip
        binary = path or self.require(name, variant)
        environment = ENVIRONMENT | (env or {})
        if faults:
            if self.shim is None:
                raise CouldNotTell("the library that injects faults could not be built")
            environment["LD_PRELOAD"] = str(self.shim)
            environment |= {f"FAULT_{call.upper()}": str(count) for call, count in faults.items()}
        return [str(binary), *arguments], cwd or self.scratch, environment, descriptors

    def require(self, name: str, variant: str | None = None) -> Path:
        """The path of a program of the lab. Throws Failed if it was not built."""
        build = self.builds[self.name]
        self.used.add(name)
        if variant is not None and variant != build.variant:
            build = make(build.directory, variant, f"{variant}/{name}" if variant else name, box=self.box)
        path = build.path(name)
        if not path.exists():
            errors = build.errors.get(name, build.errors.get("", []))
            if errors:
                raise Failed(f"{name} does not build", rung="build", cause="does_not_build", details=errors)
            raise Failed(f"there is no {name}", rung="build", cause="program_missing")
        return path

    def other(self, lab: str, program: str) -> Path | None:
        """A program of another lab (super_server runs lab01's stdin_cas), or None if it is not there."""
        build = self.builds.get(lab)
        path = build.path(program) if build else None
        return path if path and path.exists() else None

    # --- what the harness puts around them

    def listen(self, address: str = "127.0.0.1") -> Listener:
        """A listening socket of the harness's own, for a program that is a client."""
        return Listener(address)

    def datagrams(self, name: str, program: Program | None = None, port: int | None = None) -> Datagrams:
        """A UDP socket of the harness's own; connected to `port` of the program if given."""
        return Datagrams(name, program, port)

    def file(self, name: str, content: bytes) -> Path:
        """Writes a file that the programs may read."""
        path = self.given / name
        path.write_bytes(content)
        return path

    def finish(self) -> None:
        """At the end of a check that has passed so far: every program still there has to be well."""
        for program in self.programs:
            try:
                program.expect_alive()
            except Failed:
                with step(f"{program.name} is well at the end"):
                    raise
