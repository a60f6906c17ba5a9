"""Finds the best isolation that this machine gives, by trying it, and moves the harness into a world of its
own.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile

from labkit import cgroup
from labkit.box import described, has_landlock, reserve_user, temporary_directory, user

from .model import ROOT, Unusable

_INSIDE = "HARNESS_TIER"  # set for the harness that has moved
_kept: list[object] = []  # open files, closed at the end of the process
_until_the_end = contextlib.ExitStack()
atexit.register(_until_the_end.close)
_NAMESPACES = [
    "--net",
    "--pid",
    "--mount",
    "--ipc",
    "--uts",
    "--fork",
    "--mount-proc",
    "--kill-child=SIGKILL",
]


def _unshare(tier: int) -> list[str]:
    """unshare(1): a new world for a command; what is in it dies with the command."""
    return ["unshare", *(["--user", "--map-root-user"] if tier == 1 else []), *_NAMESPACES, "--"]


_refusals: list[str] = []  # what the better tiers said when they were tried


def _works(command: list[str]) -> bool:
    try:  # a fork bomb that is being graded next door makes a good answer slow
        tried = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120)
    except (OSError, subprocess.TimeoutExpired) as error:
        _refusals.append(str(error))
        return False
    if tried.returncode != 0:
        words = tried.stderr.decode(errors="replace").strip().splitlines()
        _refusals.append(words[-1] if words else f"{command[0]} ends with status {tried.returncode}")
    return tried.returncode == 0


def probe() -> int:
    """The best tier that works here: 1 to 4."""
    box = ["bwrap", "--unshare-pid", "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc"]
    drop = [
        "setpriv",
        f"--reuid={user()}",
        f"--regid={user()}",
        "--clear-groups",
        "--no-new-privs",
        "--",
        "true",
    ]
    if os.geteuid() != 0:
        return 1 if _works([*_unshare(1), *box, "--unshare-user", "true"]) else 4
    if _works(
        [*_unshare(2), *box, "--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID", *drop]
    ):
        return 2
    return 3 if _works(drop) else 4


def advice(tier: int) -> str:
    """Why it is no better tier, in the words of what was tried, and what to do for one."""
    if tier <= 2:
        return ""
    if shutil.which("bwrap") is None:
        return "Install bubblewrap (sh harness/setup)."
    why = f"({_refusals[0]}) " if _refusals else ""
    if tier == 3:
        return f"{why}Where namespaces are refused, run the container privileged, or grade outside of it."
    allowed = "sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu"
    return f"{why}Allow user namespaces ({allowed}), or grade with sudo."


def tell_lower(tier: int) -> None:
    """Says on stderr that this machine isolates less than it could, and why."""
    if tier > 2:
        print(f"Attention: {described(tier)}. {advice(tier)}", file=sys.stderr)


def must_isolate() -> int:
    """The tier that this machine gives; throws Unusable if it is none."""
    tier = probe()
    if tier == 4:
        raise Unusable(f"{described(4)}. {advice(4)} Or --trust, if you trust what you grade.")
    tell_lower(tier)
    return tier


def enter(*, require: bool, trust: bool) -> int:
    """Returns the tier, in a world of its own: the program starts again inside, and ends here with its exit
    status.

    Throws Unusable if the machine isolates less than was asked for: `require` insists on tier 1 or 2, and
    without `trust` nothing less than tier 3 judges other people's programs.
    """
    if _INSIDE in os.environ:
        return int(os.environ[_INSIDE])
    tier = probe()
    if tier > (2 if require else 4 if trust else 3):
        raise Unusable(
            f"{described(tier)}. {advice(tier)}"
            + ("" if require else " Or --trust, if you trust what you grade.")
        )
    if tier == 3 and not has_landlock() and ROOT.stat().st_mode & 0o007 and not trust:
        raise Unusable(
            f"{described(3)}: what is judged could read {ROOT}, solutions and all. chmod go= {ROOT} first."
        )
    if os.geteuid() == 0 and "HARNESS_USER" not in os.environ:
        _kept.append(reserve_user())
    if tier >= 3:
        tell_lower(tier)
        own = _until_the_end.enter_context(temporary_directory("grade-", 0o711))
        os.environ["TMPDIR"] = tempfile.tempdir = str(own)
        return tier
    sys.exit(_run_inside(tier))


def _run_inside(tier: int) -> int:
    """Starts this program again in a world of its own, waits for its end, and returns its exit status.

    What is sent to this process ends both: the first process of a world takes no SIGTERM from outside.
    """

    def end(*_: object) -> None:
        sys.exit(128 + signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    cgroup.make_room()
    with temporary_directory("grade-", 0o711) as own:  # what a killed one leaves is gone with it
        dying = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--"]
        inside = subprocess.Popen(
            [*dying, *_unshare(tier), sys.executable, "-EBXutf8", *sys.argv],
            env=os.environ | {_INSIDE: str(tier), "TMPDIR": str(own)},
        )
        try:
            return inside.wait()
        except KeyboardInterrupt:  # it has got it, too, and has something to say
            with contextlib.suppress(subprocess.TimeoutExpired):
                inside.wait(10)
            return 128 + signal.SIGINT
        finally:
            inside.kill()
            inside.wait()
