"""A lab under judgement: starts its programs, and what the harness puts around them."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom
from typing import TypeVar

from . import kernel
from .box import Box, given_beside
from .build import Build, is_current, make
from .client import Datagrams, Listener
from .faults import Disturbance
from .program import Program, raise_if_unwritten, status_name
from .run import Run, run_to_its_end
from .sanitizers import words_to_sanitizer
from .server import Server
from .steps import Cause, CouldNotTell, Failed, show, step
from .surroundings import ENVIRONMENT, Surroundings, has_ipv6
from .upper import Upper, UpperDatagrams
from .waiting import Missed, await_fact, deadline, poll
from .witness import Witness, library

Started = TypeVar("Started", bound=Program)
FIRST_PORT, PORTS = 10_000, 20_000  # below those that Linux gives to port 0; ip(7), ip_local_port_range


@dataclass
class Lab:
    """The fixture `lab` of every check. Programs that it starts end with the check."""

    builds: dict[str, Build]  # "lab05" to its build
    name: str  # "lab05"
    scratch: Path  # an empty directory that is the programs' own, new for each check
    box: Box = field(default_factory=Box)
    shim: Path | None = None  # the compiled labkit/faults.cpp
    preloaded: Path | None = None  # the directory where compiled libraries to preload are
    programs: list[Program] = field(default_factory=list)
    used: set[str] = field(default_factory=set)  # names of the lab's programs that the check has started
    # The same as files, of other labs, too: st_mtime_ns.
    binaries: dict[Path, int] = field(default_factory=dict)
    random: Random = field(default_factory=lambda: Random(1))  # --seed: for checks that draw their input
    # For what no program may know before, and no right one needs to.
    secret: Random = field(default_factory=SystemRandom)
    proved: set[str] = field(default_factory=set)  # programs whose sanitizer was seen to report a race
    schedule: str | None = None  # --schedule: what checks of every schedule run instead
    replayed: bool = False  # and whether this one did

    @property
    def given(self) -> Path:
        """The directory of what the programs may read, and not change."""
        return given_beside(self.scratch)

    # --- starting programs

    def server(
        self,
        name: str,
        *arguments: str,
        port: int = 0,
        datagrams: bool = False,
        listeners: int = 1,
        faults: Mapping[str, int] | None = None,
        descriptors: int = 0,
        raisable: int = 0,
        closed: tuple[int, ...] = (),
        variant: str | None = None,
        env: Mapping[str, str] | None = None,
        taken: str = "address_in_use",
        unlocked: bool = False,
        nohup: bool = False,
    ) -> Server:
        """Starts a server on a port of the kernel's choice and waits until it listens: a fact of the kernel,
        no probe.

        datagrams: it is one for UDP, which receives without listening. listeners: the sockets that it listens
        on, of which it makes one after the other. taken: the likely cause if bind says that the address is in
        use. The others are those of around(). Also checks that it listens where it was told, and the first
        line on stdout.
        """
        sockets = kernel.receiving if datagrams else kernel.listening
        with step(f"{name} {' '.join(arguments)}".strip() + " listens") as current:
            around = self.around(faults, descriptors, closed, env, raisable, variant, unlocked, nohup=nohup)
            argv = [str(self.require(name, variant)), "-p", str(port), *_possible(arguments)]
            server = self._started(Server(name, self.box, argv, around))
            with contextlib.suppress(Missed):
                await_fact(lambda: len(sockets(server.pid)) >= listeners or server.status() is not None)
            server.note_listeners(sockets, 1 not in closed, (_address(arguments), port), taken)
            # What it serves with, its threads and descriptors, may come after the listener.
            server.settle(
                deadline() / 4,
                lambda: kernel.family_at_rest(server.pid) or server.status() is not None,
            )
            current.outcome = f"on port {', '.join(map(str, server.ports))}"
        return server

    def start(
        self,
        name: str,
        *arguments: str,
        stdin: bool = False,
        faults: Mapping[str, int] | None = None,
        descriptors: int = 0,
        closed: tuple[int, ...] = (),
        variant: str | None = None,
        env: Mapping[str, str] | None = None,
        path: Path | None = None,
        unlocked: bool = False,
    ) -> Program:
        """Starts a program; stdin=True for one that is typed to (default: its stdin is empty).

        path=PATH starts that file instead. The others are those of around().
        """
        with step(f"{name} {' '.join(arguments)}".strip() + " starts"):
            around = self.around(faults, descriptors, closed, env, 0, "" if path else variant, unlocked)
            argv = [str(path or self.require(name, variant)), *_possible(arguments)]
            return self._started(Program(name, self.box, argv, around, stdin))

    def run(
        self,
        name: str,
        *arguments: str,
        input: bytes | Path = b"",
        broken: bool = False,
        reported: bool = False,
        faults: Mapping[str, int] | None = None,
        descriptors: int = 0,
        closed: tuple[int, ...] = (),
        room: int = 0,
        variant: str | None = None,
        env: Mapping[str, str] | None = None,
        path: Path | None = None,
        endless: Cause = "does_not_end",
        busy: Cause = "does_not_end",
        moved: Callable[[], int] | None = None,
        unlocked: bool = False,
    ) -> Run:
        """Runs a program to its end, with `input` (bytes or a file) on stdin; returns its status and output.

        broken: behind these bytes its read fails. reported: a sanitizer's report is what is looked for, and
        no failure. endless: the likely cause if it does not end, and busy: if it computes for too long.
        moved: what its peers count of the bytes that move (Upper). The others are those of start().
        """
        words = f"{name} {' '.join(arguments)}".strip()
        with step(words + (f" with {show(input)}" if input and isinstance(input, bytes) else "")) as current:
            around = self.around(faults, descriptors, closed, env, 0, "" if path else variant, unlocked, room)
            argv = [str(path or self.require(name, variant)), *_possible(arguments)]
            reported = reported or unlocked
            self._tell_disturbance(around.disturbance)
            result = run_to_its_end(
                name, self.box, argv, around, input, broken, reported, endless, busy, moved
            )
            raise_if_unwritten(result.stderr.decode(errors="replace"))
            current.outcome = status_name(result.status)
            return result

    def around(
        self,
        faults: Mapping[str, int] | None = None,
        descriptors: int = 0,
        closed: tuple[int, ...] = (),
        env: Mapping[str, str] | None = None,
        raisable: int = 0,
        variant: str | None = None,
        unlocked: bool = False,
        room: int = 0,
        nohup: bool = False,
    ) -> Surroundings:
        """What a program of the check is started in.

        faults: {"send": 7} makes each send take at most 7 bytes (see faults.cpp), and that must come about;
        {} only counts. descriptors: the most that it may have open. raisable: the soft limit of that, which
        it may raise. closed: the standard descriptors that it starts without. env: more for its environment.
        variant="tsan", where it is asked for, means the sanitized program: a witness proves that its
        sanitizer reports races (witness.cpp). unlocked: its locks order nothing for the sanitizer, and its
        report is no failure of the program. room: the bytes that each file it writes has room for.
        nohup: SIGHUP is ignored when it starts.
        """
        environment = ENVIRONMENT | dict(env or {})
        sanitized = (self.builds[self.name].variant if variant is None else variant) == "tsan"
        disturbance = None
        if faults is not None:
            if self.shim is None:
                raise CouldNotTell("the library that injects faults could not be built")
            disturbance = Disturbance(faults, self.shim, self.scratch, sanitized)
            environment |= disturbance.environment
        witness = None
        if sanitized:
            proving = library(self.preloaded or self.scratch)
            if proving not in self.box.readable:
                self.box.readable.append(proving)
            witness = Witness(proving, self.scratch, unlocked)
            both = f"{environment['LD_PRELOAD']}:{proving}" if disturbance else str(proving)
            environment |= witness.environment | {"LD_PRELOAD": both}
        return Surroundings(
            self.scratch, environment, descriptors, raisable, closed, nohup, room, disturbance, witness
        )

    def _started(self, program: Started) -> Started:
        self.programs.append(program)
        self._tell_disturbance(program.disturbance)
        if program.disturbance and not poll(program.disturbance.begun, 10.0):
            raise CouldNotTell("the library that injects faults was not loaded")
        if program.witness and not poll(program.witness.begun, 10.0):
            raise CouldNotTell("the library that proves ThreadSanitizer's reports was not loaded")
        return program

    def _tell_disturbance(self, disturbance: Disturbance | None) -> None:
        """A step that says what is done to the program: its failure would be a riddle else."""
        if disturbance is not None and (told := disturbance.told()):
            with step(told):
                pass

    def own_port(self) -> int:
        """A free TCP port, and the next one is free, too, that nobody else gets, although they are not in use
        meanwhile: not of those that the kernel gives to port 0, nor of those of another check.
        """
        for number in range(PORTS // 2):
            port = FIRST_PORT + (os.getpid() * 20 + 2 * number) % PORTS
            with contextlib.suppress(OSError), contextlib.ExitStack() as sockets:
                for one in (port, port + 1):
                    sockets.enter_context(socket.socket()).bind(("", one))
                return port
        raise CouldNotTell("no port is free")

    def require(self, name: str, variant: str | None = None) -> Path:
        """The path of a program of the lab. Throws Failed if it was not built."""
        self.used.add(name)
        build = self._built(self.builds[self.name], name, variant)
        path = build.path(name)
        self._note(path)
        if not path.exists():
            errors = build.errors.get(name, build.errors.get("", []))
            if errors:
                raise Failed(f"{name} does not build", rung="build", cause="does_not_build", details=errors)
            raise Failed(f"there is no {name}", rung="build", cause="program_missing")
        if path not in self.box.looked_at and (words := words_to_sanitizer(path, build.variant)):
            raise Failed(f"{name} has {', '.join(words[:4])}", rung="build", cause="blinds_sanitizer")
        self.box.looked_at.add(path)
        return path

    def prove_sanitizer(self, name: str) -> None:
        """Fails if ThreadSanitizer misses a race made on purpose in this very program: for runs that
        something else is preloaded into.
        """
        if name not in self.proved:
            with step(f"ThreadSanitizer reports a race that is made on purpose in {name}", quiet=True):
                self.run(name, "-?", variant="tsan")
            self.proved.add(name)

    def other(self, lab: str, program: str) -> Path | None:
        """A program of another lab (super_server runs lab01's stdin_cas), or None if it is not there."""
        if lab not in self.builds:
            return None
        path = self._built(self.builds[lab], program, None).path(program)
        self._note(path)
        return path if path.exists() else None

    def _note(self, path: Path) -> None:
        self.binaries[path] = path.stat().st_mtime_ns if path.exists() else 0

    def _built(self, build: Build, name: str, variant: str | None) -> Build:
        """The lab's build, with the program in it; one that is up to date is left as it is."""
        wanted = build.variant if variant is None else variant
        if not build.on_demand and wanted == build.variant:
            return build
        target = f"{wanted}/{name}" if wanted else name
        if not (build.directory / f"{name}.cpp").exists():
            return Build(build.directory, wanted)
        if self.box.tier == 4 and is_current(build.directory, wanted, name):
            return Build(build.directory, wanted)
        return make(build.directory, wanted, target, box=self.box)

    # --- what the harness puts around them

    def listen(self, address: str = "127.0.0.1", port: int = 0) -> Listener:
        """A listening socket of the harness's own, for a program that is a client."""
        return Listener(address, port)

    def upper(self, address: str = "127.0.0.1") -> Upper:
        """A known-good upper server of the harness's own, for a program that is its client."""
        return Upper(address)

    def upper_datagrams(self) -> UpperDatagrams:
        """The same for datagrams."""
        return UpperDatagrams()

    def datagrams(self, name: str, program: Program | None = None, port: int | None = None) -> Datagrams:
        """A UDP socket of the harness's own; connected to `port` of the program if given."""
        return Datagrams(name, program, port)

    def file(self, name: str, content: bytes) -> Path:
        """Writes a file that the programs may read."""
        path = self.given / name
        path.write_bytes(content)
        return path

    def evidence(self) -> list[str]:
        """What can be seen now of the programs: for a failure that has no evidence of its own."""
        return [row for program in self.programs[-3:] for row in program.evidence()]

    def finish(self) -> None:
        """At the end of a check that has passed so far: every program still there has to be well."""
        if self.schedule is not None and not self.replayed:
            raise CouldNotTell(f"this check has no schedule {self.schedule}")
        for program in self.programs:
            try:
                program.expect_alive()  # it sleeps, or has ended: what it has sent is counted
                if program.disturbance:
                    program.disturbance.expect_done(program.came)
                if program.witness:
                    program.witness.expect_proved(program.status())
            except Failed:
                with step(f"{program.name} is well at the end"):
                    raise


def secret_word(length: int = 8) -> bytes:
    """Lower-case letters that nobody knows beforehand: with them in a line, no table has its reply."""
    return "".join(SystemRandom().choices(string.ascii_lowercase, k=length)).encode()


def _address(arguments: tuple[str, ...]) -> str:
    """The numeric address that follows -a, "" if there is none."""
    given = arguments[arguments.index("-a") + 1] if "-a" in arguments[:-1] else ""
    with contextlib.suppress(ValueError):
        return str(ipaddress.ip_address(given))
    return ""


def _possible(arguments: tuple[str, ...]) -> tuple[str, ...]:
    """The arguments. Throws CouldNotTell if one is an address that this machine does not have."""
    if "::1" in arguments and not has_ipv6():
        raise CouldNotTell("the loopback of this machine has no IPv6 (sysctl net.ipv6.conf.all.disable_ipv6)")
    return arguments
