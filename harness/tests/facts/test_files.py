"""Files, pipes and descriptors that travel, as labs 7 and 8 tell of them."""

from __future__ import annotations

import array
import ctypes
import errno
import fcntl
import os
import socket
import struct
from pathlib import Path

import pytest
from fact_tools import alone, error_of, libc, listening

_openat2, _beneath = 437, 0x08  # the system call; RESOLVE_BENEATH


def open_beneath(folder: Path, name: str) -> str:
    """Returns the error of openat2 with RESOLVE_BENEATH, "" if the file is opened."""
    how = struct.pack("QQQ", os.O_RDONLY, 0, _beneath)
    directory = os.open(folder, os.O_PATH)
    opened = libc.syscall(_openat2, directory, name.encode(), how, len(how))
    number = ctypes.get_errno()
    os.close(directory)
    if opened == -1:
        return errno.errorcode[number]
    os.close(opened)
    return ""


def test_resolve_beneath_refuses_what_leads_outside(tmp_path: Path) -> None:
    """lab08#outside-the-directory: openat2 with RESOLVE_BENEATH refuses `..` and links that lead outside."""
    tmp_path.joinpath("mine").write_text("mine")
    tmp_path.joinpath("harmless").symlink_to("/etc/passwd")
    tmp_path.joinpath("inside").symlink_to("mine")
    if open_beneath(tmp_path, "mine") in ("ENOSYS", "EPERM"):
        pytest.skip("needs openat2: Linux 5.6, and a sandbox that knows it")
    names = ("mine", "inside", "harmless", "../mine", "/etc/passwd")
    assert [open_beneath(tmp_path, name) for name in names] == ["", "", "EXDEV", "EXDEV", "EXDEV"]


def test_a_sparse_file_has_a_size_and_no_blocks(tmp_path: Path) -> None:
    """lab08#three-gibibytes: a sparse file has a size, and no blocks; reading gives zeros."""
    with tmp_path.joinpath("huge").open("wb+") as huge:
        os.truncate(huge.fileno(), 3 << 30)
        assert os.fstat(huge.fileno()).st_blocks == 0
        assert os.pread(huge.fileno(), 4, 1 << 31) == bytes(4)


def test_a_file_that_is_replaced_stays_what_was_opened(tmp_path: Path) -> None:
    """lab08#files-that-change: mv changes a name; a descriptor belongs to the file."""
    old, new = tmp_path / "file", tmp_path / "other"
    old.write_text("old")
    new.write_text("new")
    with old.open() as opened:
        new.rename(old)
        assert (opened.read(), old.read_text()) == ("old", "new")


def test_files_in_proc_have_no_size_and_a_content() -> None:
    """lab08#outside-the-directory: files in /proc have size 0, and content all the same."""
    assert os.stat("/proc/self/status").st_size == 0
    assert Path("/proc/self/status").read_text()


def test_a_fifo_is_opened_when_somebody_writes(tmp_path: Path) -> None:
    """lab08#outside-the-directory: open of a FIFO waits for a writer, unless O_NONBLOCK is set."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    os.close(os.open(fifo, os.O_RDONLY | os.O_NONBLOCK))
    assert error_of(lambda: os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)) == "ENXIO"


def test_a_pipe_holds_64_kib_by_default() -> None:
    """lab08#storms: a pipe holds 64 KiB, and can be made smaller; a non-blocking write to a full one is
    EAGAIN.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    if os.write(writing, bytes(1 << 20)) < 65536:
        pytest.skip("this user has too many pipes: /proc/sys/fs/pipe-user-pages-soft")
    assert len(os.read(reading, 1 << 20)) == 65536
    assert fcntl.fcntl(writing, 1031, 4096) == 4096  # F_SETPIPE_SZ
    assert os.write(writing, bytes(5000)) == 4096
    assert error_of(lambda: os.write(writing, b"x")) == "EAGAIN"
    os.close(reading)
    os.close(writing)


def test_a_descriptor_that_is_passed_is_the_same_open_file() -> None:
    """lab07#passing: SCM_RIGHTS gives the receiver a number of its own for the same open file."""
    parent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    file = os.memfd_create("text")
    os.write(file, b"the quick brown fox")
    os.lseek(file, 8, os.SEEK_SET)
    parent.sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [file]))])
    _, control, _, _ = child.recvmsg(1, socket.CMSG_SPACE(4))
    (passed,) = struct.unpack("i", control[0][2][:4])
    assert passed != file
    os.close(file)
    assert os.read(passed, 8) == b"k brown "
    os.close(passed)
    parent.close()
    child.close()


@alone()
def test_reuseport_is_for_the_sockets_of_one_user() -> None:
    """lab07#a-listener-for-each-child: with SO_REUSEPORT the sockets of one user share a port, no other's."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    listener = listening(SO_REUSEPORT=1)

    def bind() -> None:
        with socket.socket() as another:
            another.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            another.bind(listener.getsockname())

    assert error_of(bind) == ""
    os.setuid(65534)
    assert error_of(bind) == "EADDRINUSE"
