"""What is around a program: its directory, environment, descriptors and limits, whatever is around the
harness.
"""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

# The environment of every judged program, and nothing else of the harness's own.
ENVIRONMENT = {
    "PATH": "/usr/bin:/bin",
    "LC_ALL": "C",
    "TZ": "UTC",
    "ASAN_OPTIONS": "verify_asan_link_order=0:detect_leaks=0",
    # A read after a write puts no threads in order, so that every race shows.
    "TSAN_OPTIONS": "io_sync=0:atexit_sleep_ms=0",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


@dataclass(frozen=True)
class Surroundings:
    """What one program is started in."""

    directory: Path  # it starts there, and may write there
    environment: Mapping[str, str] = field(default_factory=lambda: dict(ENVIRONMENT))
    descriptors: int = 0  # the most that it may have open; 0 means as many as the harness
    closed: tuple[int, ...] = ()  # the standard descriptors that are closed when it starts

    def command(self, argv: list[str]) -> list[str]:
        """The command that starts argv with these descriptors closed."""
        if not self.closed:
            return argv
        closing = " ".join(f"{number}<&-" for number in self.closed)
        return ["/bin/sh", "-c", f'exec "$@" {closing}', "sh", *argv]


def default_signals() -> None:
    """Ignores and blocks no signal, whatever nohup(1) or a shell's `&` has left: a program inherits both;
    signal(7).
    """
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
    for number in signal.valid_signals() - {signal.SIGPIPE, signal.SIGXFSZ}:  # those two are Python's own
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
