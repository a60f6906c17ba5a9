"""How long is waited: not at all where nothing can happen any more, and to the deadline wherever something
still can.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest
from labkit import kernel, stillness, unotify
from labkit.processes import Process, adopt_orphans
from labkit.program import Output, Program
from labkit.waiting import poll

ASLEEP = {
    "pause": "signal.pause()",
    "accept": "socket.create_server(('127.0.0.1', 0)).accept()",
    "recv": "a, b = socket.socketpair(); a.recv(1)",
    "a pipe": "r, w = os.pipe(); os.read(r, 1)",
    "a full socket": "a, b = socket.socketpair(); a.sendall(bytes(10_000_000))",
    "a deadlock": "lock = threading.Lock(); lock.acquire(); threading.Thread(target=lock.acquire).start(); "
    "lock.acquire()",
    "a child that waits": "os.fork() or signal.pause(); os.wait()",
    "select": "r, w = os.pipe(); select.select([r], [], [])",
    "poll": "r, w = os.pipe(); p = select.poll(); p.register(r, select.POLLIN); p.poll()",
    "epoll": "r, w = os.pipe(); p = select.epoll(); p.register(r); p.poll()",
    "a zombie": "os.fork() or os._exit(0); signal.pause()",
    "stopped": "os.kill(os.getpid(), signal.SIGSTOP)",
    "sigwait": "signal.pthread_sigmask(signal.SIG_BLOCK, [10]); signal.sigwait([10])",
    "a lock of a file": "f = open('/tmp', 'rb'); os.fork() or f; g = os.open('/tmp', 0); fcntl.flock(f, 2); "
    "fcntl.flock(g, 2)",
}

ABOUT_TO_DO_SOMETHING = {
    "sleep": "time.sleep(1000)",
    "a busy loop": "while True: pass",
    "alarm": "signal.signal(signal.SIGALRM, print); signal.alarm(1000); signal.pause()",
    "a limit of recv": "a, b = socket.socketpair(); a.setsockopt(1, 20, struct.pack('ll', 1000, 0)); "
    "a.recv(1)",
    "a limit of select": "r, w = os.pipe(); select.select([r], [], [], 1000)",
    "a limit of poll": "r, w = os.pipe(); p = select.poll(); p.register(r, select.POLLIN); p.poll(1_000_000)",
    "a limit of epoll": "r, w = os.pipe(); p = select.epoll(); p.register(r); p.poll(1000)",
    "a limit of a lock": "lock = threading.Lock(); lock.acquire(); lock.acquire(timeout=1000)",
    "a limit of sigwait": "signal.pthread_sigmask(signal.SIG_BLOCK, [10]); signal.sigtimedwait([10], 1000)",
    "a timer": "l = ctypes.CDLL(None); t = ctypes.c_void_p(); l.timer_create(1, None, ctypes.byref(t)); "
    "signal.pause()",
    "a timer that is a file": "f = ctypes.CDLL(None).timerfd_create(1, 0); os.read(f, 8)",
    "a child that sleeps": "os.fork() or time.sleep(1000); os.wait()",
    "a thread that sleeps": "threading.Thread(target=time.sleep, args=[1000]).start(); signal.pause()",
    "a full connection": (
        "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); "
        "c.sendall(bytes(9_000_000))"
    ),
    "a connection that is not accepted": (
        "s = socket.create_server(('127.0.0.1', 0), backlog=0); w = s.getsockname(); k = "
        "[socket.create_connection(w)]\n"
        "for _ in 'abc': c = socket.socket(); c.setblocking(False); c.connect_ex(w); k.append(c)\n"
        "signal.pause()"
    ),
}


@contextmanager
def running(code: str) -> Iterator[Process]:
    """A Python program that says when it begins."""
    adopt_orphans()
    modules = "ctypes, fcntl, os, select, signal, socket, struct, threading, time"
    program = f"import {modules}\nprint('begun', flush=True)\n{code}"
    with Process([sys.executable, "-I", "-S", "-c", program], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"begun\n"
        yield process


def _seen_twice() -> bool:
    """One look is not at one moment: a child may be born while it is taken."""
    first = stillness.look()
    time.sleep(0.1)
    return first is not None and stillness.look() == first


@pytest.mark.parametrize("kind", ASLEEP)
def test_it_is_seen_that_nothing_can_happen_any_more(kind: str) -> None:
    with running(ASLEEP[kind]):
        assert poll(_seen_twice, 20.0)


@pytest.mark.parametrize("kind", ABOUT_TO_DO_SOMETHING)
def test_what_may_still_come_is_waited_for(kind: str) -> None:
    with running(ABOUT_TO_DO_SOMETHING[kind]):
        time.sleep(0.2)
        assert not poll(stillness.look, 0.5)


def test_what_was_done_between_two_looks_is_seen() -> None:
    """A program that answers, and sleeps again, is not the same as before."""
    echo = "s = socket.create_server(('127.0.0.1', 0)); print(s.getsockname()[1], flush=True)\n"
    with running(echo + "c, _ = s.accept()\nwhile d := c.recv(9): c.send(d)") as process:
        assert process.stdout is not None
        with socket.create_connection(("127.0.0.1", int(process.stdout.readline()))) as client:
            before = poll(stillness.look, 20.0)
            client.sendall(b"x")
            assert client.recv(1) == b"x"
            after = poll(stillness.look, 20.0)
            assert before and after and before != after


def test_what_a_program_has_written_is_seen_though_the_reading_thread_is_late(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("labkit.program.Output._pump", lambda output: None)  # so late that it never comes
    theirs, ours = os.pipe()
    output = Output(os.fdopen(theirs, "rb", buffering=0), cast(Program, None))
    for count in range(1, 100):
        os.write(ours, b"a")
        assert output.data == b"a" * count
    os.write(ours, b"\xff")
    assert output.text == "a" * 99 + "�"
    os.close(ours)
    assert output.data == b"a" * 99 + b"\xff"


def test_who_waits_for_an_answer_of_the_harness_does_not_sleep() -> None:
    answers = unotify.Answers({"accept": 1})
    program = os.path.realpath(sys.executable)
    code = "import socket; socket.create_server(('127.0.0.1', 0)).accept()"
    inherited = [answers.channel.fileno()]
    with Process([*answers.command(program), program, "-c", code], inherited=inherited) as process:
        assert poll(lambda: kernel.state(process.pid) == "R" and kernel.at_rest(process.pid) is False, 60)
        in_the_kernel = Path(f"/proc/{process.pid}/wchan")
        assert poll(lambda: in_the_kernel.read_text().startswith("seccomp_do_user_notification"), 60)
        assert kernel.state(process.pid) == "R" and kernel.waiting_in(process.pid) == ""
        assert stillness.look() is None
        answers.begin()
        assert poll(lambda: process.status() == 1, 60)  # it asked nobody else, and has failed
