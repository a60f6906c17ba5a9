"""Plays a handout's console transcripts in real terminals, and compares what appears.

CONTRIBUTING.md, "The handouts' code and transcripts", has the notation.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

from .blocks import Block, blocks

PATIENCE = 30.0  # seconds: never reached by what works
_ended = re.compile(r"\036(\d+)\036")
# The shell takes its commands from descriptor 250, so that the terminal is the programs' alone.
_shell = r'set -m; while IFS= read -r -u 250 line; do eval "$line" 250<&-; printf "\036%d\036" $?; done'
_prompt = "Input:"
_notice = re.compile(r"^\[\d+\].*\n", re.MULTILINE)  # bash on its jobs: "[1]+  Done …"


class Mismatch(Exception):
    """The terminal showed something else than the transcript."""


class Terminal:
    """A pseudoterminal with a shell, which runs one command at a time."""

    def __init__(self, folder: Path):
        self.master, slave = pty.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # "\n" stays "\n"
        attributes[3] &= ~termios.ECHO  # what is typed stands in the transcript already
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 120, 0, 0))
        commands, self.commands = os.pipe()

        def own_the_terminal() -> None:
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "TERM": "dumb"}
        self.shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-c", f"exec 250<&{commands} {commands}<&-; {_shell}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            pass_fds=[commands],
            cwd=folder,
            env=environment,
            preexec_fn=own_the_terminal,
        )
        os.close(slave)
        os.close(commands)
        self.pending = ""  # shown and not yet compared
        self.screen = ""  # all that was shown
        self.running = False
        self.typing = False  # the command reads from the terminal
        self.background = False  # a command was started with "&", and may print later
        self.skipping = False  # a line "…" came last

    def run(self, command: str) -> None:
        self.finish()
        self.running, self.typing = True, not re.search(r"[|<]", command)
        self.background = self.background or bool(re.search(r"(?<![&>])&(?![&>\d])", command))
        os.write(self.commands, command.encode() + b"\n")

    def expect(self, line: str, known: dict[str, str]) -> None:
        """Takes one line of the transcript: types what is to be typed, waits for what is to appear."""
        key = re.match(r"\^([CD])", line)
        if key:
            self._press(key[1])
            if line[2:].strip():
                self.expect(line[2:], known)
        elif line.strip() == "…":
            self.skipping = True
        elif self.typing and line.startswith(_prompt):
            self._answer(line[len(_prompt) :].strip())
        else:
            self._see(line, known)

    def finish(self) -> None:
        """Waits for the end of the command, which must have printed nothing that was not shown."""
        limit = time.monotonic() + PATIENCE
        while self.running:
            if not self._read(limit):
                raise Mismatch("the command before is still running")
        rest = self.pending.rstrip()
        self.pending = ""
        if rest and not self.skipping:
            raise Mismatch(f"printed more than is shown: {rest.splitlines()[0]}")
        self.skipping = False

    def close(self) -> None:
        """Ends the terminal; a command that has ended by now must have printed what was shown."""
        try:
            limit = time.monotonic() + PATIENCE
            while (
                self.running and not self._asleep() and self._read(min(limit, time.monotonic() + 0.05), True)
            ):
                pass
            self._read(time.monotonic() + 0.2)
            if not self.running:
                self.finish()
        finally:
            self._kill()
            os.close(self.master)
            os.close(self.commands)
            self.shell.wait()

    def _kill(self) -> None:
        """Kills what was started in this terminal, the shell last."""
        for process in sorted(
            Path("/proc").glob("[0-9]*"), key=lambda path: path.name == str(self.shell.pid)
        ):
            try:
                session = process.joinpath("stat").read_text().rpartition(")")[2].split()[3]
                if int(session) == self.shell.pid:
                    os.kill(int(process.name), signal.SIGKILL)
            except (OSError, ProcessLookupError):
                pass  # it has ended meanwhile

    def tail(self) -> str:
        return "".join(f"    | {shown}\n" for shown in self.screen.splitlines()[-15:])

    def _see(self, line: str, known: dict[str, str]) -> None:
        limit = time.monotonic() + PATIENCE
        while True:
            while "\n" in self.pending or (not self.running and self.pending):
                shown, _, self.pending = self.pending.partition("\n")
                if matches(line, shown, known):
                    self.skipping = False
                    return
                if not self.skipping:
                    raise Mismatch(f"shows instead: {shown}")
            if not self.running and not self.pending and not self.background:
                raise Mismatch("never appeared: the command has ended")
            idle = self.pending
            if not self._read(min(limit, time.monotonic() + 0.5), True) and self.pending == idle:
                if idle and matches(line, idle, known):  # a line without its newline, and nothing follows
                    self.pending = ""
                    return
            if time.monotonic() > limit:
                raise Mismatch("never appeared")

    def _answer(self, text: str) -> None:
        limit = time.monotonic() + PATIENCE
        while not self.pending.startswith(_prompt):
            if "\n" in self.pending:
                shown, _, rest = self.pending.partition("\n")
                if not self.skipping:
                    raise Mismatch(f"shows instead: {shown}")
                self.pending = rest
            elif not self.running or not self._read(limit):
                raise Mismatch("the prompt never appeared")
        self.skipping = False
        self.pending = self.pending[len(_prompt) :].removeprefix(" ")
        if text == "^D":
            self._press("D")
        else:
            os.write(self.master, text.encode() + b"\n")

    def _press(self, key: str) -> None:
        limit = time.monotonic() + PATIENCE
        while self.running and not self._asleep():
            self._read(min(limit, time.monotonic() + 0.02), True)
            if time.monotonic() > limit:
                raise Mismatch("no program waits for the key")
        os.write(self.master, bytes([ord(key) - ord("@")]))

    def _asleep(self) -> bool:
        """Tells whether a program is in the terminal's foreground and waits."""
        group = struct.unpack("i", fcntl.ioctl(self.master, termios.TIOCGPGRP, b"\0" * 4))[0]
        try:
            state = Path(f"/proc/{group}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return False
        return group != self.shell.pid and state == "S"

    def _read(self, limit: float, quiet: bool = False) -> bool:
        """Reads what the terminal shows, waiting until `limit`; tells whether there was anything (or
        `quiet`).
        """
        ready, _, _ = select.select([self.master], [], [], max(0.0, limit - time.monotonic()))
        if not ready:
            return quiet and time.monotonic() < limit
        try:
            text = os.read(self.master, 65536).decode(errors="replace")
        except OSError:  # the shell is gone
            text, self.running = "", False
        self.pending = _notice.sub("", self.pending + text)
        end = _ended.search(self.pending)
        if end:
            self.running = False
            self.pending = self.pending[: end.start()] + self.pending[end.end() :]
        self.screen += _ended.sub("", text)
        return True


_varying = re.compile(
    r"(?P<more>…)"
    r"|(?P<date>[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4})"
    r"|(?<=[\d\]]:)(?P<port>3276[89]|327[7-9]\d|32[89]\d\d|3[3-9]\d{3}|[456]\d{4})\b"
    r"|(?<=\b[pP][iI][dD] )(?P<pid>\d+)|(?<=\b[pP][iI][dD]: )(?P<pid2>\d+)"
)


def matches(line: str, shown: str, known: dict[str, str]) -> bool:
    """Tells whether `shown` is `line` but for what may differ; `known` remembers the ports and PIDs."""
    pattern, names, end = "", [], 0
    for part in _varying.finditer(line):
        pattern += re.escape(line[end : part.start()])
        end = part.end()
        if part["more"]:
            pattern += ".+"
        elif part["date"]:
            pattern += r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"
        else:
            names.append(part[0])
            pattern += r"(\d+)"
    found = re.fullmatch(pattern + re.escape(line[end:].rstrip()) + r"\s*", shown)
    if not found:
        return False
    together = dict(known)
    for name, number in zip(names, found.groups()):
        if together.setdefault(name, number) != number:
            return False
    if len(set(together.values())) < len(together):
        return False
    known.update(together)
    return True


def play(block: Block, folder: Path) -> str:
    """Runs one transcript in `folder`; returns what went wrong, "" if nothing."""
    terminals: dict[str, Terminal] = {}
    problem = ""
    try:
        _follow(block, folder, terminals)
    except Mismatch as mismatch:
        problem = str(mismatch)
    for terminal in terminals.values():
        try:
            terminal.close()
        except Mismatch as mismatch:
            problem = problem or f"{block.place}: at the end\n  {mismatch}\n{terminal.tail()}"
    return problem


def _follow(block: Block, folder: Path, terminals: dict[str, Terminal]) -> None:
    known: dict[str, str] = {}
    last = ""
    lines = iter(enumerate(block.lines, block.number))
    for number, line in lines:
        command = re.match(r"(\d?)\$ (.*)", line)
        elsewhere = re.match(r"(\d): ?(.*)", line)
        try:
            if command:
                last, text = command[1], command[2]
                while text.endswith("\\"):
                    text = text[:-1] + next(lines)[1].removeprefix("> ")
                if last not in terminals:
                    terminals[last] = Terminal(folder)
                terminals[last].run(text)
            elif elsewhere and elsewhere[1] in terminals:
                last = elsewhere[1]
                terminals[last].expect(elsewhere[2], known)
            else:
                terminals[last].expect(line, known)
        except Mismatch as mismatch:
            raise Mismatch(
                f"{block.page.name}:{number}: {line}\n  {mismatch}\n{terminals[last].tail()}"
            ) from None


def main(arguments: list[str]) -> int:
    """PAGE FOLDER: plays the transcripts of the page in the folder; prints what went wrong."""
    page, folder = Path(arguments[0]), Path(arguments[1])
    played = [(block, play(block, folder)) for block in blocks(page) if runnable(block)]
    wrong = [(block, problem) for block, problem in played if problem]
    for block, problem in wrong:
        if elsewhere := seen_elsewhere(block):
            print(f"{block.place}: {elsewhere}, and may differ here:")
        print(problem)
    return 1 if any(not seen_elsewhere(block) for block, _ in wrong) else 0


def runnable(block: Block) -> bool:
    if block.language != "console" or block.comment.startswith("not run: ") or missing(block):
        return False
    return "without a network" not in block.comment or not _has_default_route()


def _has_default_route() -> bool:
    """Whether the kernel has a route to every IPv4 address; proc_pid_net(5)."""
    routes = Path("/proc/net/route").read_text().splitlines()[1:]
    return any(route.split()[1] == "00000000" for route in routes)


def missing(block: Block) -> list[str]:
    """Returns the tools that a transcript needs and this machine has not."""
    tools = said(block, "needs").split()
    return [tool for tool in tools if not any(Path(p, tool).exists() for p in os.environ["PATH"].split(":"))]


def seen_elsewhere(block: Block, release: str = os.uname().release) -> str:
    """Returns "seen on Linux 6.18, not 5.10", if the transcript names a kernel and this is another one."""
    kernel, here = said(block, "seen on Linux"), ".".join(release.split(".")[:2])
    return f"seen on Linux {kernel}, not {here}" if kernel and kernel != here else ""


def said(block: Block, kind: str) -> str:
    """Returns what the comment above a block says of this kind: `<!-- needs ss; seen on Linux 6.18 -->`."""
    parts = [part.strip() for part in block.comment.split(";")]
    return next((part.removeprefix(kind).strip() for part in parts if part.startswith(f"{kind} ")), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
