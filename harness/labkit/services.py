"""What servers of several labs do alike: the date of the echo service, and the bytes service."""

from __future__ import annotations

import re
import time

from .client import Peer
from .server import Server
from .steps import Cause, Failed, expect, step
from .waiting import poll

# As ctime(3) has it: the day has a blank in front, and no zero.
DATE = rb"\w{3} \w{3} (?: [1-9]|[123]\d) \d\d:\d\d:\d\d \d{4}"
# Seconds after the epoch: the ninth of a month. For {"time": ONE_DIGIT_DAY}, see faults.cpp.
ONE_DIGIT_DAY = 1_000_000_000

DATED = {
    "date_is_old": "The date of an earlier reply came again: each reply has its own time, and not that of "
    "the connection.",
}

LARGEST = b"1073741824\n"  # 2^30: the most that the bytes service gives
_REQUESTS = (
    (b"1\n", b"*"),
    (b"007\n", b"*" * 7),
    (b"200000\nand more", b"*" * 200_000),
    (b"1" * 65_537, b"Line too long\n"),
    (b"1" * 70_000, b"Line too long\n"),
)
_NO_NUMBERS = (b"0", b"-1", b"-5", b"+5", b"", b" 12", b"12 ", b"1_0", b"12x", b"12\r", b"\t12", b"ten")
_TOO_LARGE = (b"1073741825", b"9" * 20, b"9" * 23)


_COARSE = 5  # CLOCK_REALTIME_COARSE, which Python has no name for; clock_gettime(2)


def dated_anew(client: Peer) -> None:
    """The echoes of one client have each its own date. Causes: DATED."""
    dates = []
    for word in (b"earlier", b"later"):
        client.send(word)
        dates.append(client.expect_match(rb"\AEcho=>" + word + rb" at (" + DATE + rb")\Z")[1])
        second = _second()
        if word == b"earlier":
            with step("the clock's next second begins"):
                poll(lambda: _second() > second, 2.0)
    expect(dates[0] != dates[1], "the date is another one", cause="date_is_old", otherwise="it is the same")


def _second() -> int:
    """The second that time(2) returns, whose clock is a little behind that of clock_gettime(2)."""
    return int(time.clock_gettime(_COARSE))


def counts_out_bytes(server: Server) -> None:
    """Asks the bytes service (handouts/contracts/lab04.md#bytes_server): a decimal number and a newline get
    as many bytes and the end; any other line gets Bad Request. Causes: loose_number, largest_refused.
    """
    for request, reply in _REQUESTS:
        client = server.connect("ann")
        client.send(request)
        client.expect(reply)
        client.expect_eof()
        client.close()
    for text in _NO_NUMBERS + _TOO_LARGE:
        rude = server.connect("rude")
        rude.send(text + b"\n")
        rude.expect(b"Bad Request\n", cause={"bytes": "loose_number"})
        rude.expect_eof()
        rude.close()
    largest = server.connect("the largest", receive_buffer=4096)
    largest.send(LARGEST)
    largest.expect(b"*" * 100_000, cause={"bytes": "largest_refused"})
    largest.close()


def expect_echo(peer: Peer, text: bytes, cause: Cause = None) -> None:
    """The client gets its text as the echo service sends it back. Cause: other_date, if all but the date is
    right; else the one that is given.
    """
    begin = rb"Echo=>" + re.escape(text) + rb" at "
    try:
        peer.expect_match(begin + DATE, cause=cause)
    except Failed as error:
        if re.match(begin + rb".{20}", peer.unread(), re.DOTALL):
            error.cause = "other_date"
        raise
