"""fork, exec, zombies and orphans, as labs 4, 6 and 7 tell of them."""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest
from fact_tools import alone, called, error_of, libc, listening, state_of, status_of, wait_until

_set_pdeathsig, _set_subreaper = 1, 36  # of prctl(2)


@alone()
def test_a_child_stays_a_zombie_until_its_parent_waits() -> None:
    """lab04#zombies: an exited child keeps its PID and its status until its parent waits; memory has gone."""
    child = os.fork()
    if child == 0:
        os._exit(7)
    wait_until(lambda: state_of(child) == "Z", "the zombie")
    assert Path(f"/proc/{child}/statm").read_text().split()[0] == "0"
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert state_of(child) == ""


@alone()
def test_to_ignore_sigchld_leaves_no_zombie() -> None:
    """lab04#reaping: with SIGCHLD set to SIG_IGN no zombies are kept, and wait finds no child."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_until(lambda: state_of(child) == "", "the end")
    assert error_of(lambda: os.waitpid(child, 0)) == "ECHILD"


@alone()
def test_an_orphan_goes_to_the_nearest_subreaper() -> None:
    """lab04#orphans: an orphan's new parent is its nearest ancestor that is a subreaper."""
    called(libc.prctl(_set_subreaper, 1, 0, 0, 0))
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        orphan = os.fork()
        if orphan == 0:
            signal.pause()
        os.write(writing, str(orphan).encode())
        os._exit(0)
    os.waitpid(middle, 0)
    orphan = int(os.read(reading, 99))
    assert int(status_of(orphan, "PPid")) == os.getpid()
    os.kill(orphan, signal.SIGKILL)
    assert os.waitpid(orphan, 0)[0] == orphan


@alone()
def test_a_child_can_ask_for_a_signal_at_its_parents_end() -> None:
    """lab04#orphans, lab07#no-orphans: PR_SET_PDEATHSIG sends a signal to the child when its parent has
    ended.
    """
    called(libc.prctl(_set_subreaper, 1, 0, 0, 0))
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        child = os.fork()
        if child == 0:
            libc.prctl(_set_pdeathsig, signal.SIGTERM)
            os.write(writing, str(os.getpid()).encode())
            while True:
                signal.pause()
        signal.pause()
    child = int(os.read(reading, 99))
    os.kill(middle, signal.SIGKILL)
    os.waitpid(middle, 0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM


@alone()
def test_fork_copies_only_the_thread_that_calls_it() -> None:
    """lab04#called-once-returns-twice, lab06#fork-and-threads: the child has one thread."""
    end = threading.Event()
    thread = threading.Thread(target=end.wait)
    thread.start()
    assert status_of(os.getpid(), "Threads") == "2"
    child = os.fork()
    if child == 0:
        os._exit(0 if status_of(os.getpid(), "Threads") == "1" else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    end.set()
    thread.join()


@alone()
def test_the_end_of_a_stream_is_seen_when_the_last_copy_is_closed() -> None:
    """lab04#copies-of-descriptors: a client sees the end when no process has a copy of the connection."""
    listener = listening()
    client = socket.create_connection(listener.getsockname())
    server, _ = listener.accept()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(writing)
        os.read(reading, 1)
        os._exit(0)
    server.close()
    assert error_of(lambda: client.recv(1, socket.MSG_DONTWAIT)) == "EAGAIN"
    os.close(writing)
    os.waitpid(child, 0)
    assert client.recv(1) == b""


@alone()
def test_parent_and_child_share_the_position_in_an_open_file() -> None:
    """lab07#passing: the position belongs to the open file, which the processes share."""
    file = os.memfd_create("text")
    os.write(file, b"the quick brown fox")
    os.lseek(file, 0, os.SEEK_SET)
    child = os.fork()
    if child == 0:
        os.read(file, 8)
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(file, 8) == b"k brown "


@alone()
def test_shared_pages_stay_one_after_fork_and_private_ones_do_not() -> None:
    """lab04#a-register-of-its-own, #shared-memory: MAP_SHARED pages stay shared; MAP_PRIVATE are copied."""
    shared = mmap.mmap(-1, 4096, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    private = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    child = os.fork()
    if child == 0:
        shared[0] = private[0] = 7
        os._exit(0)
    os.waitpid(child, 0)
    assert (shared[0], private[0]) == (7, 0)


@alone()
def test_close_on_exec_is_not_copied_by_dup2() -> None:
    """lab04#super-server: exec closes a descriptor with FD_CLOEXEC; dup2 makes a copy without the flag."""
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    copy = called(libc.dup2(reading, 50))
    seen = subprocess.run(["ls", "/proc/self/fd"], stdout=subprocess.PIPE, text=True, close_fds=False).stdout
    assert str(copy) in seen.split()
    assert str(reading) not in seen.split()


@alone(user="nobody")
def test_fork_fails_with_eagain_at_the_limit_of_processes() -> None:
    """lab04#when-fork-fails: at the limit of processes fork fails with EAGAIN; root has no such limit."""
    if os.geteuid() == 0:
        pytest.skip("root has no limit of processes")
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
    if int(status_of(os.getpid(), "CapEff"), 16):
        pytest.skip("has capabilities here, which lift the limit")

    def fork_and_end() -> None:
        if os.fork() == 0:
            os._exit(0)
        os.wait()

    assert error_of(fork_and_end) == "EAGAIN"


@alone()
def test_buffers_are_copied_with_the_process() -> None:
    """lab04#called-once-returns-twice: what lies in the C library's buffer at fork is written twice."""
    reading, writing = os.pipe()
    middle = os.fork()
    if middle == 0:
        libc.fdopen.restype = ctypes.c_void_p
        libc.fputs(b"before ", ctypes.c_void_p(libc.fdopen(writing, b"w")))
        child = os.fork()
        if child > 0:
            os.waitpid(child, 0)
        libc.fflush(None)
        os._exit(0)
    os.waitpid(middle, 0)
    assert os.read(reading, 99) == b"before before "


@alone()
def test_posix_spawn_starts_a_program_without_fork() -> None:
    """lab04#called-once-returns-twice: posix_spawn makes a process that executes a program."""
    child = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 7"], os.environ)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
