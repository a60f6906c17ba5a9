"""A running program of a lab: watched, asked, and held to what it should do."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import resource
import select
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import IO

from . import kernel, stillness
from .box import Box
from .last_words import evident_cause, last_words, unwritten
from .sanitizers import thread_sanitizer_works
from .steps import Cause, CouldNotTell, Failed, attest, difference, expect, show, step
from .surroundings import Surroundings
from .waiting import Missed, await_fact, deadline, poll, wait_until

KEPT_OUTPUT = 1 << 20  # bytes of each output stream that are kept, from its beginning
KEPT_TAIL = 1 << 16  # and from its end
TOLERATED_OUTPUT = 16 << 20  # bytes of a stream after which the program is killed

_SANITIZER = re.compile(r"^.*(ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:).*$", re.MULTILINE)
_SANITIZER_CAUSES = {
    "ThreadSanitizer: data race": "data_race",
    "ThreadSanitizer: lock-order-inversion": "lock_order",
    "ThreadSanitizer: double lock": "double_lock",
    "ThreadSanitizer: thread leak": "thread_leak",
}


def unwritten_failure(stderr: str) -> Failed | None:
    """The failure that the program, or a header of it, is not written yet, if it says so."""
    words = unwritten(stderr)
    return Failed(f"it says `{words}`", rung="start", cause="not_written") if words else None


def raise_if_unwritten(stderr: str) -> None:
    """Throws that failure."""
    if failure := unwritten_failure(stderr):
        raise failure


def sanitizer_report(program: str, stderr: str) -> Failed | None:
    """The first report of a sanitizer, as a failure. Throws CouldNotTell if the sanitizer could not work
    here.

    program: its path: only one that was built with the sanitizer is believed that.
    """
    fatal = "FATAL: ThreadSanitizer" in stderr and Path(program).parent.name == "tsan"
    if fatal and not thread_sanitizer_works():
        raise CouldNotTell(
            "ThreadSanitizer does not run on this machine: " + "; ".join(last_lines("stderr", stderr))
        )
    found = _SANITIZER.search(stderr)
    if found is None:
        return None
    cause = next((name for kind, name in _SANITIZER_CAUSES.items() if kind in found.group()), "sanitizer")
    details = stderr[found.start() :].splitlines()[:14]
    return Failed(found.group().strip(), rung="sanitizer", cause=cause, details=details)


class Output:
    """What a program has written so far; a thread reads it, so that no pipe is ever full."""

    def __init__(self, pipe: IO[bytes], program: Program) -> None:
        self.total = 0
        self.taken = 0  # up to here expect_text() has seen it
        self._first = bytearray()
        self._last = b""  # when it was more
        self._program = program
        self._pipe = pipe
        os.set_blocking(pipe.fileno(), False)
        # While it is held, the pipe may be empty and not all of it be here yet.
        self._reading = threading.Lock()
        stillness.readers.add(self)
        self._thread = threading.Thread(target=self._pump, daemon=True)
        self._thread.start()

    def _pump(self) -> None:
        something = select.poll()
        something.register(self._pipe, select.POLLIN)
        while something.poll() and self._take():
            pass
        with self._reading:
            self._pipe.close()

    def _take(self) -> bool:
        """Takes what is in the pipe now; whether more may come."""
        with self._reading:
            if self._pipe.closed:
                return False
            try:
                chunk = os.read(self._pipe.fileno(), 65536)
            except BlockingIOError:
                return True
            self.total += len(chunk)
            room = max(0, KEPT_OUTPUT - len(self._first))
            self._first += chunk[:room]
            self._last = (self._last + chunk[room:])[-KEPT_TAIL:]
        if self.total > TOLERATED_OUTPUT:
            self._program.flooded = True
            kernel.kill_family(self._program.pid)
        return bool(chunk)

    def complete(self) -> bool:
        """Whether all that was written is here already; FIONREAD, pipe(7)."""
        with self._reading, contextlib.suppress(ValueError):  # it has been closed at its end
            return not int.from_bytes(fcntl.ioctl(self._pipe, termios.FIONREAD, bytes(4)), sys.byteorder)
        return True

    def over(self) -> bool:
        """Whether all has been read, and nobody is left who could write more."""
        return not self._thread.is_alive()

    def finish(self) -> None:
        """Waits for the last bytes of a program that has ended, and a little for those of its children."""
        self._thread.join(timeout=1)
        poll(self.complete, deadline())

    @property
    def data(self) -> bytes:
        """All that was written up to now, or the beginning of it if it is much."""
        self._take()
        return bytes(self._first)

    @property
    def text(self) -> str:
        """The same for reading, the end of it included."""
        return (self.data + self._last).decode(errors="replace")


class Program:
    """One running program. Its exit is noticed, its output kept, its end certain."""

    serves = False  # clients connect to it

    def __init__(
        self, name: str, box: Box, argv: list[str], around: Surroundings, stdin: bool = False
    ) -> None:
        """Starts it. stdin: it is typed to; else its standard input is empty. Throws Failed if it is no
        program.
        """
        self.name = name
        self.argv = argv
        self.asked_to_end = False
        self.flooded = False  # it was killed for printing without end
        self.came = 0  # bytes that have come from it to its clients
        self.clients: list[object] = []  # a connection stays open, also if the check keeps no name for it
        self.disturbance = around.disturbance
        self.witness = around.witness
        self._box = box
        given = subprocess.PIPE if stdin else subprocess.DEVNULL
        self._process = box.start(argv, around, stdin=given, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.pid = self._process.pid
        assert self._process.stdout is not None and self._process.stderr is not None
        self.stdout = Output(self._process.stdout, self)
        self.stderr = Output(self._process.stderr, self)
        attest(self._unwritten)

    # --- facts

    def status(self) -> int | None:
        """The exit status, negative for a signal, or None while it runs."""
        return self._process.status()

    def children(self) -> dict[int, str]:
        """Its own children, zombies included: pid to state letter."""
        return kernel.children(self.pid)

    def household(self) -> list[int]:
        """The program, its descendants, and in a box also those that are its descendants no more: a daemon
        that it has started.
        """
        return kernel.family(self.pid) + (kernel.strays(self.pid) if self._box.tier < 4 else [])

    def memory(self) -> int:
        """Resident bytes of the program and of all processes that have come from it."""
        together = sum(kernel.share_of_memory(member) for member in self.household())
        return max(kernel.memory(self.pid), together)

    def threads(self) -> int:
        return kernel.threads(self.pid)

    def descriptors(self) -> dict[int, str]:
        return kernel.descriptors(self.pid)

    def all_descriptors(self) -> int:
        """How many descriptors the program has open, with all processes that have come from it."""
        return sum(len(kernel.descriptors(member)) for member in self.household())

    def cpu_share(self) -> float:
        """0 for idle, 1 for as busy as a busy loop of the harness that runs at the same time."""
        with step(f"{self.name}: CPU time beside a busy loop's") as current:
            share = kernel.cpu_share(self.pid)
            current.outcome = f"{share:.0%}"
        return share

    def expect_idle(self, cause: Cause = "spins", child: int | None = None) -> None:
        """Fails if the program with all that has come from it, or this child of it alone, uses the CPU while
        nobody asks it anything.
        """
        with step(
            f"{self.name if child is None else f'child {child}'} waits without using the CPU"
        ) as current:
            members = [child] if child is not None else self.household()
            answers = self.disturbance.answers if self.disturbance else None
            asked = answers.asked if answers else 0
            idle = kernel.rests(*members)
            share = 0.0 if idle else min(self._cpu_shares(lambda share: share <= 0.10, members))
            if share > 0.25:
                raise Failed(f"uses {share:.0%} of a CPU", rung="spins", cause=cause)
            if answers and (calls := answers.asked - asked) > 100:  # it waits for their answers, no CPU used
                raise Failed(f"makes {calls} calls in a moment", rung="spins", cause=cause)
            if share > 0.10:
                raise CouldNotTell(f"{share:.0%} of a CPU is neither idle nor busy")
            current.outcome = "seen"

    def expect_patient(self, cause: Cause = "gives_up_on_a_client") -> None:
        """Fails if the program or a child of it waits for a client with a limit of time."""
        with step(f"{self.name} waits for its client without a limit of time") as current:
            poll(lambda: kernel.family_at_rest(self.pid), deadline())
            if any(stillness.gives_up(one) for one in kernel.family(self.pid)):
                raise self.failure("the socket has SO_RCVTIMEO or SO_SNDTIMEO", cause=cause)
            current.outcome = "seen"
        self.expect_asleep()

    def expect_asleep(self, cause: Cause = "wakes_for_nothing") -> None:
        """Fails if the program or a child of it wakes up again and again while nothing happens: a wait with a
        time limit.
        """
        with step(f"{self.name} sleeps, and does not wake up") as current:
            poll(lambda: kernel.family_at_rest(self.pid), deadline())
            seconds = 3.2

            def sleeps_on() -> bool:
                still = stillness.look(seconds, on_the_way=True)  # a client need not read
                return still is not None and still == stillness.look(seconds, on_the_way=True)

            for _ in range(2):  # what is still on its way, or about to begin, is seen in the first time alone
                woken = self._woken()
                poll(lambda: sleeps_on() or woken(), seconds)
                if sleeps_on():
                    current.outcome = "no call has a time limit, or a long one"
                    return
                if not (count := woken()):
                    break
            if count:
                raise self.failure(f"it woke up {count} times or more", cause=cause, rung="spins")
            current.outcome = "seen"

    def _woken(self) -> Callable[[], int]:
        """Tells how often a thread of the program or of what has come from it has gone to sleep from now on;
        0 for once."""

        def switches() -> int:
            return sum(map(kernel.context_switches, self.household()))

        before = switches()
        return lambda: count if (count := switches() - before) > 1 else 0

    def expect_busy(self, cause: Cause = None) -> None:
        """Fails if the program does not use the CPU all the time."""
        with step(f"{self.name} uses a whole CPU") as current:
            share = max(self._cpu_shares(lambda share: share >= 0.25, [self.pid]))
            if share < 0.25:
                raise Failed(f"uses {share:.0%} of a CPU", cause=cause)
            current.outcome = f"{share:.0%} of a busy loop's time"

    def _cpu_shares(self, enough: Callable[[float], bool], members: list[int]) -> list[float]:
        """What up to three looks one after the other tell, the last one being the first that is enough."""
        shares = [kernel.cpu_share(*members)]
        while len(shares) < 3 and not enough(shares[-1]):
            shares.append(kernel.cpu_share(*members))
        return shares

    # --- doing things to it

    def type(self, text: str) -> None:
        """Writes to the program's standard input."""
        with step(f"{self.name} is given {show(text.encode())} on stdin"):
            assert self._process.stdin is not None, "start it with stdin=True"
            try:
                self._process.stdin.write(text.encode())
                self._process.stdin.flush()
            except BrokenPipeError:
                raise self.failure("does not read its standard input any more") from None

    def type_at_once(self, text: str) -> None:
        """Writes to the program's standard input while it is paused: it finds all of it together."""
        assert self._process.stdin is not None, "start it with stdin=True"
        if len(text) > fcntl.fcntl(self._process.stdin, fcntl.F_GETPIPE_SZ):
            raise CouldNotTell("a pipe of this machine does not hold so much")
        with self.paused():
            self.type(text)

    def expect_at_rest(self) -> None:
        """Waits until the program has read all that it was given, all threads of it and its children sleep,
        and its output is here."""
        with step(f"{self.name} has read its input, and all its threads and children sleep") as current:
            try:
                await_fact(self._ended_or_at_rest)
            except Missed as missed:
                raise self.failure(f"not in {missed.seconds:.1f} s", cause="spins", rung="spins") from None
            self.expect_alive()
            current.outcome = "seen"

    def _unwritten(self) -> Failed | None:
        """The failure that something of the program is not written yet, if it says so."""
        poll(self._ended_or_at_rest, 1.0)
        if self.status() is not None:
            self.stderr.finish()
        return unwritten_failure(self.stderr.text)

    def _ended_or_at_rest(self) -> bool:
        if self.status() is not None:
            return True
        rests = not self._unread_input() and kernel.family_at_rest(self.pid)
        return rests and self.stdout.complete() and self.stderr.complete()

    def has_read(self) -> bool:
        """Whether the program has read all that it was given."""
        return not self._unread_input()

    def _unread_input(self) -> int:
        """How many bytes of its standard input the program has not read yet; FIONREAD, pipe(7)."""
        if self._process.stdin is None or self._process.stdin.closed:
            return 0
        return int.from_bytes(fcntl.ioctl(self._process.stdin, termios.FIONREAD, bytes(4)), sys.byteorder)

    def end_input(self) -> None:
        """Closes the program's standard input: end of file."""
        with step(f"{self.name}'s standard input ends"):
            assert self._process.stdin is not None, "start it with stdin=True"
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def send_signal(self, number: signal.Signals, children: bool = False) -> None:
        """Sends a signal to the program alone, or also to its children, as Ctrl-C in a terminal does."""
        with step(f"{self.name} {'and its children get' if children else 'gets'} {number.name}"):
            self.asked_to_end |= number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number) if children else os.kill(self.pid, number)

    def kill_child(self, child: int) -> None:
        """Kills (SIGKILL) one of the program's children."""
        with step(f"{self.name}'s child {child} is killed"), contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)

    @contextlib.contextmanager
    def paused(self, child: int = 0) -> Iterator[None]:
        """Stops the program, or one of its children, while the block runs (SIGSTOP): what happens meanwhile,
        happens to it all at once.

        Fails if it did not stand still all the time: somebody of its own has let it go on.
        """
        pid, name = (child, f"{self.name}'s child {child}") if child else (self.pid, self.name)
        with step(f"{name} is paused (SIGSTOP)"):
            os.kill(pid, signal.SIGSTOP)
            try:
                await_fact(lambda: kernel.stands_still(pid))
            except Missed:
                raise Failed("it does not stop, or goes on at once", cause="went_on") from None
            turns = kernel.turns(pid)
        try:
            yield
        finally:
            stood_still = kernel.stands_still(pid) and kernel.turns(pid) == turns
            died = kernel.state(pid) in ("", "Z")
            with step(f"{name} continues (SIGCONT)"), contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                if not stood_still and not died:
                    raise Failed("it has not stood still meanwhile", cause="went_on")

    @contextlib.contextmanager
    def no_descriptor_left(self, closing: Collection[str] = ()) -> Iterator[None]:
        """While the block runs, the program and its children can open no descriptor more: RLIMIT_NOFILE;
        prlimit(2).

        An accept that waits already has reserved its descriptor: it takes one more client. closing: what they
        are about to close (`socket:[123]`), and that they cannot open again either.
        """
        poll(lambda: kernel.family_at_rest(self.pid), deadline())  # until then one may be about to close one
        lowest_free: dict[int, int] = {}
        for member in kernel.family(self.pid):
            used = {number for number, what in kernel.descriptors(member).items() if what not in closing}
            lowest_free[member] = next(number for number in range(len(used) + 1) if number not in used)
        told = ", ".join(str(limit) for limit in dict.fromkeys(lowest_free.values()))
        with step(f"{self.name} may open no descriptor more (RLIMIT_NOFILE is {told})"):
            before = self._limit(resource.RLIMIT_NOFILE, lowest_free)
        try:
            yield
        finally:
            with step(f"{self.name} may open descriptors again"), contextlib.suppress(CouldNotTell):
                self._limit(resource.RLIMIT_NOFILE, before)

    @contextlib.contextmanager
    def no_process_left(self) -> Iterator[None]:
        """While the block runs, the program can start no process and no thread: RLIMIT_NPROC; prlimit(2).

        Ask can_be_refused() before.
        """
        with step(f"{self.name} may start no process or thread more (RLIMIT_NPROC is 0)"):
            before = self._limit(resource.RLIMIT_NPROC, {self.pid: 0})
        try:
            yield
        finally:
            with step(f"{self.name} may start processes again"), contextlib.suppress(CouldNotTell):
                self._limit(resource.RLIMIT_NPROC, before)

    def can_be_refused(self) -> bool:
        """Whether RLIMIT_NPROC holds for the program: not for one's own of root; getrlimit(2)."""
        return self._box.tier < 4 or os.geteuid() != 0

    def _limit(self, which: int, soft: dict[int, int]) -> dict[int, int]:
        """Sets the soft limit of each of these processes; returns what they were. One that has gone needs
        none."""
        before: dict[int, int] = {}
        for member, wanted in soft.items():
            try:
                with kernel.with_their_rights(member):
                    before[member], hard = resource.prlimit(member, which)
                    resource.prlimit(member, which, (wanted, hard))
            except (FileNotFoundError, ProcessLookupError):
                continue
            except OSError as error:
                raise CouldNotTell(f"the program's limit could not be set: {error.strerror}") from None
        return before

    # --- expecting things of it

    def expect_text(self, text: str, cause: Cause = None) -> None:
        """Waits until stdout goes on with exactly this text, after what was expected before."""
        wanted = text.encode()
        with step(f"{self.name} prints {show(wanted)}") as current:

            def arrived() -> bool:
                self.stdout.finish() if self.status() is not None else None
                return len(self.stdout.data) - self.stdout.taken >= len(wanted) or self.status() is not None

            with contextlib.suppress(Missed):
                await_fact(arrived)
            got = self.stdout.data[self.stdout.taken : self.stdout.taken + len(wanted)]
            if got != wanted:
                self._explain_end()
                what = "something else" if got else "nothing"
                raise Failed(
                    f"prints {what}",
                    rung="bytes" if got else "answer",
                    cause=cause,
                    details=difference(wanted, got),
                )
            self.stdout.taken += len(wanted)
            current.outcome = "seen"

    def expect_match(self, pattern: str, cause: Cause = None, stream: str = "stdout") -> re.Match[str]:
        """Waits until the lines of the output, from its beginning, have a match of the regular expression;
        returns it.

        Who has inherited the stream may print them, too, after the program itself has ended.
        """
        output: Output = getattr(self, stream)
        with step(f"{self.name} prints /{pattern}/ on {stream}") as current:

            def found() -> re.Match[str] | bool | None:
                over = output.over()
                text = output.text
                whole = len(text) if over else text.rfind("\n") + 1  # a line on stderr comes in pieces
                return re.search(pattern, text[:whole], re.MULTILINE) or over

            with contextlib.suppress(Missed):
                await_fact(found)
            match = re.search(pattern, output.text, re.MULTILINE)
            if match is None:
                self._explain_end()
                raise Failed("not printed", cause=cause, details=last_lines(stream, output.text))
            current.outcome = "seen"
            return match

    def expect_exit(self, status: int = 0, cause: Cause = None) -> None:
        """Waits for the end; a negative status is a signal's number."""
        self.asked_to_end = True
        wanted = status_name(status)
        with step(f"{self.name} ends with {wanted}") as current:
            try:
                await_fact(lambda: self.status() is not None)
            except Missed as missed:
                raise Failed(
                    f"still runs after {missed.seconds:.1f} s",
                    cause=cause,
                    otherwise="does_not_end",
                    details=self.evidence(),
                ) from None
            self.stdout.finish()
            self.stderr.finish()
            got = self.status()
            assert got is not None
            if got != status:
                self._explain_last_words()
                raise Failed(
                    status_name(got), cause=cause, otherwise="wrong_exit_status", details=self.evidence()
                )
            current.outcome = "seen"

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """Ends the program as a user does, and expects `Exiting` once, status 0 and no child left."""
        # It holds a signal that comes just before a call until that returns.
        if kernel.has_mapped(self.pid, "/libtsan.so"):
            with contextlib.suppress(Missed):
                await_fact(self._ended_or_at_rest)
        family = kernel.family(self.pid)
        with kernel.shared_files(self.pid) as files:
            self.send_signal(number)
            self.expect_exit(0)
            with step("no file is left that it shared its memory through") as current:
                left = [name for name, file in files.items() if os.fstat(file).st_nlink]
                if left:
                    raise Failed(f"there is {', '.join(left)}", cause="left_over")
                current.outcome = "seen"
        with step("`Exiting` is printed once, and no process is left") as current:
            count = len(re.findall(r"^Exiting$", self.stdout.text, re.MULTILINE))
            if count != 1:
                what = f"`Exiting` was printed {count} times"
                cause = "exiting_again" if count > 1 else None
                raise Failed(what, cause=cause, details=last_lines("stdout", self.stdout.text))
            try:
                await_fact(lambda: not [member for member in family if kernel.state(member) not in ("", "Z")])
            except Missed:
                rows = [row for member in family for row in kernel.table(member) if kernel.state(member)]
                raise Failed("processes are left", cause="outlives_its_server", details=rows) from None
            current.outcome = "seen"

    # --- evidence

    def failure(
        self, what: str, cause: Cause = None, rung: str = "behaviour", otherwise: str | None = None
    ) -> Failed:
        """The failure `what`, unless the program's own end or a sanitizer says more."""
        try:
            self.expect_alive()
        except Failed as better:
            return better
        return Failed(what, cause=cause, otherwise=otherwise, rung=rung, details=self.evidence())

    def expect_alive(self) -> None:
        """Fails if the program has ended unasked or a sanitizer has spoken; what it is about to do is waited
        for.
        """
        self.settle(deadline() / 2, self._ended_or_at_rest)
        self._explain_end()

    def goes_on_until(self, fact: Callable[[], object], what: str, cause: Cause) -> None:
        """Waits until the fact is true, a step `what`. Fails with the cause if the program has ended."""
        wait_until(lambda: fact() or self.status() is not None, f"{what}, or {self.name} ends")
        expect(self.status() is None, f"{self.name} goes on", otherwise="it has ended", cause=cause)

    def settle(self, most: float, settled: Callable[[], bool]) -> None:
        """Waits until `settled`, `most` seconds at most, or until the program has used a second of CPU
        meanwhile: then it never rests.
        """
        begin = self._computed()
        poll(lambda: settled() or self._computed() - begin > 1, most)

    def _computed(self) -> float:
        """Seconds of CPU that the program and its children have used."""
        return sum(kernel.cpu_seconds(member) for member in kernel.family(self.pid))

    def report(self) -> Failed | None:
        """A sanitizer's first report, if there is one."""
        return sanitizer_report(self.argv[0], self.stderr.text)

    def _explain_last_words(self) -> None:
        if (report := self.report()) and not (self.witness and self.witness.unlocked):
            raise report
        if self.flooded:
            raise Failed(
                "it printed without end, and was killed",
                rung="exited",
                cause="floods",
                details=self.evidence(),
            )
        if self.status() == -signal.SIGKILL and (killed := self._box.killed()):
            raise killed

    def _explain_end(self) -> None:
        """Throws the failure that the program's end is, if it has ended unasked."""
        status = self.status()
        if status is not None:
            self.stdout.finish()
            self.stderr.finish()
            raise_if_unwritten(self.stderr.text)
        poll(self.stderr.complete, 1.0)  # a sanitizer's report may be on its way
        self._explain_last_words()
        if status is None or self.asked_to_end:
            return
        cause, words = evident_cause(self.stderr.text), last_words(self.stderr.text)
        if status == -signal.SIGPIPE:
            cause = "sigpipe"
        elif status < 0:
            cause = "crashed"
        elif status == 0:
            cause = "ended_too_early"
        elif words.endswith(os.strerror(errno.ECONNREFUSED)) and not self.serves:
            cause = "ended_with_reason"
        raise Failed(
            f"{self.name} has ended: {status_name(status)}" + (f", saying `{words}`" if words else ""),
            rung="exited",
            cause=cause,
            details=self.evidence(),
        )

    def evidence(self) -> list[str]:
        """What can be seen of the program now: its processes, or its end, and its last words."""
        status = self.status()
        rows = kernel.table(self.pid) if status is None else [f"{self.name} has ended: {status_name(status)}"]
        return [*rows, *last_lines("stdout", self.stdout.text), *last_lines("stderr", self.stderr.text)]


def status_name(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    with contextlib.suppress(ValueError):
        return f"death by {signal.Signals(-status).name}"
    return f"death by signal {-status}"


def last_lines(stream: str, text: str, lines: int = 4) -> list[str]:
    return [f"{stream}: {line[:200]}" for line in text.splitlines()[-lines:]]
