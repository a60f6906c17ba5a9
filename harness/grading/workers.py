"""Runs checks side by side, each in a process of its own: what one of them leaves behind, no other one finds.
"""

from __future__ import annotations

import contextlib
import ctypes
import math
import os
import pickle
import selectors
import signal
import sys
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Generic, NoReturn, TypeVar

from labkit import kernel
from labkit.processes import adopt_orphans, end_all

Task = TypeVar("Task")
Answer = TypeVar("Answer")


class Ended(BaseException):
    """The run was asked to end, by the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


@dataclass
class _Worker(Generic[Task]):
    task: Task
    slot: int
    pid: int
    pipe: int
    answer: bytes = b""


class Workers(Generic[Task, Answer]):
    """Calls `work(task, slot)` for each task, `jobs` of them at a time, each in a child of this process.

    slot: which of the `jobs` places the child has. A child leads a session of its own, so that a Ctrl-C in
    the terminal is this process's to tell it, and it ends when this one does.
    """

    def __init__(
        self,
        jobs: int,
        work: Callable[[Task, int], Answer],
    ) -> None:
        self._jobs = jobs
        self._work = work
        self._running: list[_Worker[Task]] = []
        self._selector = selectors.DefaultSelector()

    def run(
        self, tasks: Sequence[Task], most: Callable[[], float] = lambda: math.inf
    ) -> Generator[tuple[Task, Answer | None], None, None]:
        """Yields each task with what became of it, as they end; None for one whose process died without an
        answer.

        most: asked again and again, how many of the tasks, from the first, still matter; the others are
        ended, and not yielded. Throws Ended for SIGINT and SIGTERM. Whatever happens, no child is left.
        """
        with _signals_end_it(), contextlib.ExitStack() as stack:
            stack.callback(self._selector.close)
            stack.callback(self._end, lambda worker: True)
            place = {id(task): number for number, task in enumerate(tasks)}
            waiting = list(tasks)
            while waiting or self._running:
                limit = most()
                if limit < len(tasks):
                    waiting = [task for task in waiting if place[id(task)] < limit]
                    self._end(lambda worker: place[id(worker.task)] >= limit)
                while waiting and len(self._running) < self._jobs:
                    self._start(waiting.pop(0))
                yield from self._ended()

    def _start(self, task: Task) -> None:
        slot = min(set(range(self._jobs)) - {worker.slot for worker in self._running})
        told, telling = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            os.close(told)
            self._child(task, slot, telling, parent)
        os.close(telling)
        worker = _Worker(task, slot, pid, told)
        self._running.append(worker)
        self._selector.register(told, selectors.EVENT_READ, worker)

    def _child(self, task: Task, slot: int, telling: int, parent: int) -> NoReturn:
        try:
            os.setsid()
            for number in (signal.SIGINT, signal.SIGTERM):
                signal.signal(number, signal.SIG_DFL)
            adopt_orphans()
            _die_with(parent)
            answer = pickle.dumps(self._work(task, slot))
            with os.fdopen(telling, "wb") as pipe:
                pipe.write(answer)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)

    def _ended(self) -> Iterator[tuple[Task, Answer | None]]:
        """Waits until some worker has said something; yields those that have said all."""
        for key, _ in self._selector.select() if self._running else []:
            worker: _Worker[Task] = key.data
            if chunk := os.read(worker.pipe, 1 << 20):
                worker.answer += chunk
                continue
            self._forget(worker)
            try:
                yield worker.task, pickle.loads(worker.answer)
            except (EOFError, pickle.UnpicklingError):
                yield worker.task, None

    def _forget(self, worker: _Worker[Task]) -> None:
        """Ends a worker with all that it has started."""
        kernel.kill_family(worker.pid)
        os.waitpid(worker.pid, 0)
        self._running.remove(worker)
        end_all(but={other.pid for other in self._running})  # orphans of one that was killed
        self._selector.unregister(worker.pipe)
        os.close(worker.pipe)

    def _end(self, which: Callable[[_Worker[Task]], bool]) -> None:
        for worker in list(filter(which, self._running)):
            self._forget(worker)


def _die_with(parent: int) -> None:
    """Has this process killed when its parent ends, however that happens; prctl(2)."""
    PR_SET_PDEATHSIG = 1
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(0)


@contextlib.contextmanager
def _signals_end_it() -> Iterator[None]:
    """The first SIGINT or SIGTERM throws Ended while the block runs."""

    def end(number: int, frame: FrameType | None) -> None:
        for other in previous:
            signal.signal(other, signal.SIG_IGN)
        raise Ended(number)

    previous = {number: signal.signal(number, end) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
