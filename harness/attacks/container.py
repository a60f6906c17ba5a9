"""Runs a command as root in a container has it by default: Docker's fourteen capabilities, no CAP_SYS_PTRACE
and no CAP_SYS_ADMIN among them, and no namespaces. capabilities(7); the profile of docker/engine's
documentation.

container.py COMMAND …
"""

import ctypes
import os
import sys
from pathlib import Path

if (harness := str(Path(__file__).resolve().parent.parent)) not in sys.path:
    sys.path.insert(0, harness)
from labkit import confine, seccomp

# CHOWN, DAC_OVERRIDE, FOWNER, FSETID, KILL, SETGID, SETUID, SETPCAP, NET_BIND_SERVICE, NET_RAW, SYS_CHROOT,
# MKNOD, AUDIT_WRITE, SETFCAP
GIVEN = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31}
PR_CAPBSET_DROP = 24

if __name__ == "__main__":
    libc = ctypes.CDLL(None, use_errno=True)
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text())
    for capability in set(range(last + 1)) - GIVEN:
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) != 0:
            sys.exit(f"container: {os.strerror(ctypes.get_errno())}")
    confine.refuse_calls(
        seccomp.refusals(("unshare", "setns", "mount", "umount2", "clone3")), keep_privileges=True
    )
    os.execvp(sys.argv[1], sys.argv[1:])
