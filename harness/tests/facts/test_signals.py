"""Signals as labs 4 and 8 tell of them."""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Callable

import pytest
from fact_tools import alone, called, error_of, libc, listening, state_of, status_of, wait_until

_handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


def count_of(number: int) -> int:
    """Sends this signal ten times while it is blocked, and returns how often it is taken then."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [number])
    for _ in range(10):
        os.kill(os.getpid(), number)
    taken = 0
    while signal.sigtimedwait([number], 0):
        taken += 1
    return taken


@alone()
def test_ten_standard_signals_are_one_and_ten_real_time_signals_are_ten() -> None:
    """lab04#signals: a standard signal is pending or not; those from SIGRTMIN on queue."""
    assert count_of(signal.SIGUSR1) == 1
    assert count_of(signal.SIGRTMIN + 6) == 10


@alone()
def test_five_deaths_are_one_sigchld() -> None:
    """lab04#reaping, lab07#replacing: five children that die meanwhile are one pending SIGCHLD."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    children = [in_child(lambda: 0) for _ in range(5)]
    wait_until(lambda: all(state_of(child) == "Z" for child in children), "five deaths")
    assert signal.sigtimedwait([signal.SIGCHLD], 0)
    assert signal.sigtimedwait([signal.SIGCHLD], 0) is None


@alone()
def test_two_signals_cannot_be_caught() -> None:
    """lab04#signals: sigaction refuses a handler for SIGKILL (and SIGSTOP) with EINVAL."""
    assert error_of(lambda: signal.signal(signal.SIGKILL, signal.SIG_IGN)) == "EINVAL"
    assert error_of(lambda: signal.signal(signal.SIGSTOP, signal.SIG_IGN)) == "EINVAL"


@alone()
def test_a_system_v_handler_is_gone_when_it_is_called_and_glibcs_stays() -> None:
    """lab04#signals: in the System V form the handler is removed when it is called (SA_RESETHAND).

    glibc has this form as sysv_signal; its signal is the BSD form, whose handler stays.
    """
    caught: list[int] = []
    handler = _handler(caught.append)
    libc.signal(signal.SIGUSR1, handler)
    libc.kill(os.getpid(), signal.SIGUSR1)
    assert is_caught(signal.SIGUSR1)
    if not hasattr(libc, "sysv_signal"):
        pytest.skip("needs glibc's sysv_signal")
    libc.sysv_signal(signal.SIGUSR1, handler)
    assert is_caught(signal.SIGUSR1)
    libc.kill(os.getpid(), signal.SIGUSR1)
    assert caught == [signal.SIGUSR1] * 2
    assert not is_caught(signal.SIGUSR1)


def is_caught(number: int, pid: int | None = None) -> bool:
    """Tells whether the process has a handler for this signal."""
    return bool(int(status_of(pid or os.getpid(), "SigCgt"), 16) & 1 << number - 1)


def in_child(work: Callable[[], int]) -> int:
    """Starts a child that exits with what `work` returns."""
    child = os.fork()
    if child == 0:
        os._exit(work())
    return child


def exit_status(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def with_handler(number: int, restart: bool) -> None:
    """Installs a handler that does nothing, with SA_RESTART or without."""
    signal.signal(number, lambda *_: None)
    signal.siginterrupt(number, not restart)


def interrupted(call: Callable[[], int], restart: bool, meanwhile: Callable[[], None]) -> int:
    """Sends SIGUSR1 to a child that sleeps in `call`, then does `meanwhile`, which lets `call` return.

    Returns the errno of the call, 0 if it succeeded.
    """

    def work() -> int:
        with_handler(signal.SIGUSR1, restart)
        return ctypes.get_errno() if call() == -1 else 0

    child = in_child(work)
    wait_until(lambda: is_caught(signal.SIGUSR1, child) and state_of(child) == "S", "the child's sleep")
    os.kill(child, signal.SIGUSR1)
    wait_until(lambda: state_of(child) == "Z" or not is_pending(child), "the delivery")
    meanwhile()
    return exit_status(child)


def is_pending(child: int) -> bool:
    return int(status_of(child, "ShdPnd"), 16) != 0 or state_of(child) == "R"


@pytest.mark.parametrize("restart", [False, True])
def test_a_signal_interrupts_accept_unless_sa_restart_is_set(restart: bool) -> None:
    """lab04#reaping, lab06#a-clean-end: accept fails with EINTR, or is restarted where SA_RESTART is set."""
    listener = listening()
    client = socket.socket()
    seen = interrupted(
        lambda: int(libc.accept(listener.fileno(), None, None)),
        restart,
        lambda: client.connect(listener.getsockname()),
    )
    assert seen == (0 if restart else errno.EINTR)


@pytest.mark.parametrize("restart", [False, True])
def test_select_is_never_restarted(restart: bool) -> None:
    """lab08#the-race-before-select: select fails with EINTR, SA_RESTART or not; so do poll and epoll_wait."""
    reading, writing = os.pipe()
    epoll = select.epoll()
    epoll.register(reading, select.EPOLLIN)
    for call in (lambda: in_select(reading), lambda: in_poll(reading), lambda: in_epoll(epoll)):
        assert interrupted(call, restart, lambda: None) == errno.EINTR
    os.close(writing)


def in_select(reading: int) -> int:
    bits = (ctypes.c_ulong * 16)()
    bits[reading // 64] = 1 << reading % 64
    return int(libc.select(reading + 1, bits, None, None, None))


class PollFd(ctypes.Structure):
    _fields_ = [("fd", ctypes.c_int), ("events", ctypes.c_short), ("revents", ctypes.c_short)]


def in_poll(reading: int) -> int:
    wanted = PollFd(reading, select.POLLIN, 0)
    return int(libc.poll(ctypes.byref(wanted), 1, -1))


def in_epoll(epoll: select.epoll) -> int:
    return int(libc.epoll_wait(epoll.fileno(), ctypes.create_string_buffer(12), 1, -1))


@pytest.mark.parametrize("name", ["select", "poll", "epoll_wait"])
def test_of_the_three_only_epoll_wait_ends_when_a_process_was_stopped(name: str) -> None:
    """lab05#epoll: after SIGSTOP and SIGCONT epoll_wait fails with EINTR; select and poll go on by
    themselves.
    """
    reading, writing = os.pipe()
    epoll = select.epoll()
    epoll.register(reading, select.EPOLLIN)
    calls: dict[str, Callable[[], int]] = {
        "select": lambda: in_select(reading),
        "poll": lambda: in_poll(reading),
        "epoll_wait": lambda: in_epoll(epoll),
    }
    call: Callable[[], int] = calls[name]
    child = in_child(lambda: ctypes.get_errno() if call() == -1 else 0)
    wait_until(lambda: sleeps_in_a_call(child), "the child's sleep")
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: state_of(child) == "T", "the stop")
    os.kill(child, signal.SIGCONT)
    wait_until(lambda: state_of(child) in "SZ", "the going on")
    os.write(writing, b"x")
    status = exit_status(child)
    assert status == (errno.EINTR if name == "epoll_wait" else 0)


def sleeps_in_a_call(child: int) -> bool:
    """Tells whether the child sleeps in a system call."""
    try:
        with open(f"/proc/{child}/syscall") as file:
            number = file.read().split()[0]
    except PermissionError:
        pytest.skip("may not read /proc/PID/syscall")
    return state_of(child) == "S" and number not in ("running", "-1")


@alone()
def test_ignored_signals_survive_exec_and_handlers_do_not() -> None:
    """lab04#super-server: execve gives a caught signal its default action; ignored and blocked ones stay
    so.
    """
    signal.signal(signal.SIGUSR1, lambda *_: None)
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
    reading, writing = os.pipe()

    def work() -> int:
        os.dup2(writing, 1)
        os.execvp("grep", ["grep", "^Sig[CIB]", "/proc/self/status"])

    assert exit_status(in_child(work)) == 0
    fields = dict(line.split(":") for line in os.read(reading, 999).decode().splitlines())
    masks = {name: int(value, 16) for name, value in fields.items()}
    assert not masks["SigCgt"] & 1 << signal.SIGUSR1 - 1
    assert masks["SigIgn"] & 1 << signal.SIGUSR2 - 1
    assert masks["SigBlk"] & 1 << signal.SIGALRM - 1


@alone()
def test_ten_thousand_signals_that_wait_are_one() -> None:
    """lab08#pselect-and-signalfd: what is blocked is pending, not lost; it is one bit."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    descriptor = called(libc.signalfd(-1, (ctypes.c_ulong * 16)(1 << signal.SIGUSR1 - 1), 0o4000))
    for _ in range(10_000):
        os.kill(os.getpid(), signal.SIGUSR1)
    assert len(os.read(descriptor, 128 * 10)) == 128
    assert error_of(lambda: os.read(descriptor, 128)) == "EAGAIN"


@alone()
def test_each_thread_has_its_own_signal_mask() -> None:
    """lab06#the-end-of-a-server: the mask that keeps signals out is each thread's own."""
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    masks: list[set[int]] = []

    def look() -> None:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
    assert [signal.SIGUSR1 in mask for mask in masks] == [False, True]
