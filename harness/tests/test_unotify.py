"""Calls that the harness answers in the kernel's place: they fail as they are told to, and no other does."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from labkit import unotify
from labkit.processes import Process

PYTHON = os.path.realpath(sys.executable)
CONNECTED = """
import errno, os, select, socket
listener = socket.create_server(("127.0.0.1", 0))
def connected():
    end = socket.create_connection(listener.getsockname())
    return end, listener.accept()[0]
def tried(call, *arguments):
    try:
        call(*arguments)
        return "done"
    except OSError as error:
        return errno.errorcode[error.errno]
"""


def printed(code: str, **faults: int) -> tuple[list[str], unotify.Answers]:
    """What Python prints, word by word, when it runs the code with these faults."""
    answers = unotify.Answers(faults)
    command = [*answers.command(PYTHON), PYTHON, "-c", CONNECTED + code]
    inherited = [answers.channel.fileno()]
    with Process(command, stdout=subprocess.PIPE, inherited=inherited) as process:
        answers.begin()
        assert process.stdout is not None
        words = process.stdout.read().decode().split()
        assert process.wait() == 0
    return words, answers


def test_of_sends_that_must_not_block_each_third_of_a_socket_fails() -> None:
    code = """
ann, bob = connected()
cat, dan = connected()
ann.setblocking(False)
print(*[tried(call, b"x") for call in (ann.send, ann.send, cat.send, ann.send, ann.send)])
print(*[tried(os.write, ann.fileno(), b"x"), tried(ann.sendmsg, [b"x"]), len(bob.recv(9))])
print(tried(cat.send, b"x", socket.MSG_DONTWAIT))
"""
    words, answers = printed(code, again=3)
    assert words == ["done", "done", "done", "EAGAIN", "done", "done", "EAGAIN", "4", "done"]
    assert answers.count("again") == 2


def test_an_edge_tells_of_the_room_behind_a_send_that_failed() -> None:
    code = """
ann, bob = connected()
ann.setblocking(False)
epoll = select.epoll()
epoll.register(ann, select.EPOLLIN | select.EPOLLOUT | select.EPOLLET)
print(len(epoll.poll(0)), len(epoll.poll(0)), tried(ann.send, b"x"), len(epoll.poll(60)), len(epoll.poll(0)))
"""
    words, _ = printed(code, again=1)
    assert words == ["1", "0", "EAGAIN", "1", "0"]


def test_of_sends_that_may_block_those_with_a_limit_of_time_fail() -> None:
    code = """
ann, bob = connected()
print(tried(ann.send, b"x"), tried(ann.send, b"x"))
ann.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, (1000).to_bytes(16, "little"))
print(tried(ann.send, b"x"), tried(ann.send, b"x"))
"""
    words, answers = printed(code, late=2)
    assert words == ["done", "done", "done", "EAGAIN"]
    assert answers.count("late") == 1


def test_accept_fails_where_it_is_told_to_and_the_client_waits() -> None:
    code = """
ends = [socket.create_connection(listener.getsockname()) for _ in range(3)]
print(tried(socket.socket().accept), *[tried(listener.accept) for _ in range(4)])
"""
    of_three = {
        "nth_accept": ["done", "ENFILE", "done", "done"],
        "accepts": ["ENFILE", "ENFILE", "done", "done"],
        "accept": ["done", "ENFILE", "ENFILE", "ENFILE"],
    }
    for fault, wanted in of_three.items():
        words, answers = printed(code, **{fault: 2})
        assert words == ["EINVAL", *wanted]
        assert answers.count(fault) == wanted.count("ENFILE")


def test_threads_are_asked_about_by_their_own_number() -> None:
    code = """
import threading
ann, bob = connected()
ann.setblocking(False)
threads = [threading.Thread(target=lambda: print(tried(ann.send, b"x"))) for _ in range(4)]
for thread in threads:
    thread.start()
    thread.join()
"""
    words, _ = printed(code, again=2)
    assert words == ["done", "EAGAIN", "done", "EAGAIN"]


def test_the_first_threads_fail_and_children_do_not() -> None:
    code = """
import subprocess, threading
def begun():
    try:
        thread = threading.Thread(target=print, args=["done"])
        thread.start()
        thread.join()
    except RuntimeError:
        print("none")
    sys.stdout.flush()
begun(), begun(), begun(), begun()
child = os.fork()
child or os._exit(0)
print(os.waitpid(child, 0)[1], subprocess.run(["true"]).returncode)
"""
    words, answers = printed("import sys\n" + code, thread=2)
    assert words == ["none", "none", "done", "done", "0", "0"]
    assert answers.count("thread") == 2
    words, answers = printed("import sys\n" + code, threads=3)
    assert words == ["done", "done", "done", "none", "0", "0"]
    assert answers.count("threads") == 1


def test_forks_fail_of_the_program_alone() -> None:
    code = """
def forked(again=True):
    try:
        child = os.fork()
    except OSError as error:
        return errno.errorcode[error.errno]
    if child == 0:
        again and forked(False)
        os._exit(0)
    os.waitpid(child, 0)
    return "done"
print(forked(), forked(), forked(), forked())
"""
    words, answers = printed(code, fork=2)
    assert words == ["EAGAIN", "EAGAIN", "done", "done"]
    words, answers = printed(code, nth_fork=3)
    assert words == ["done", "done", "ENOMEM", "done"]
    assert answers.count("nth_fork") == 1


def test_a_kernel_that_lets_nobody_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert unotify.possible()
    monkeypatch.setattr("labkit.seccomp.notifications", lambda numbers: b"no filter")
    assert not unotify.possible()
