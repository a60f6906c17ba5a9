"""What a program said last, on stderr: the reason of its end in its own words, and what these are evidence
of.
"""

from __future__ import annotations

import errno
import os
import re

# The texts of strerror(3) that a program ends its last line with, and the cause that each is evidence of.
_EVIDENCE = {
    "Interrupted system call": "interrupted",
    "Connection reset by peer": "client_ends_server",
    "Broken pipe": "client_ends_server",
    "Connection refused": "client_ends_server",
    "Transport endpoint is not connected": "client_ends_server",
    "Software caused connection abort": "client_ends_server",
    "Bad file descriptor": "bad_descriptor",
    "Too many open files": "no_descriptor_left",
    "Too many open files in system": "no_descriptor_left",
    "Address already in use": "address_in_use",
}
_REASONS = tuple(f": {os.strerror(number)}" for number in errno.errorcode)
_UNWRITTEN = re.compile(r"^.*\bnot written yet\s*$", re.MULTILINE)
# Those that are, after the name of one of these calls: what could not be begun was for one client.
_FOR_ONE_CLIENT = re.compile(
    r"\b(fork|thread|pthread_create): .*(Resource temporarily unavailable|Cannot allocate memory)$"
)


def last_words(stderr: str) -> str:
    """The last line that says something, shortened; "" if there is none."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def unwritten(stderr: str) -> str:
    """The line that says that something is not written yet, as a starter does; "" if there is none."""
    found = _UNWRITTEN.search(stderr)
    return found[0].strip()[:160] if found else ""


def reason(stderr: str) -> str:
    """The last line that ends in the text of an errno, as a failed call is told; "" if there is none."""
    told = [line.strip() for line in stderr.splitlines() if line.strip().endswith(_REASONS)]
    return told[-1][:160] if told else ""


def cause_of_hanging_up(said: str) -> str:
    """The likely cause of a connection that was closed while the program told the failed call `said`."""
    if not said:
        return "hung_up"
    named = next((cause for text, cause in _EVIDENCE.items() if said.endswith(text)), "")
    return "call_failed" if named in ("", "client_ends_server") else named


def evident_cause(stderr: str) -> str:
    """The likely cause of an end with an error status: by what the program said, without a guess."""
    words = last_words(stderr)
    if _FOR_ONE_CLIENT.search(words):
        return "client_ends_server"
    named = next((cause for text, cause in _EVIDENCE.items() if words.endswith(text)), "")
    return named or ("ended_with_reason" if words else "ended_unasked")
