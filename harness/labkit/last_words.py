"""What a program said last, on stderr: the reason of its end in its own words, and what these are evidence
of.
"""

from __future__ import annotations

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
# Those that are, after the name of one of these calls: what could not be begun was for one client.
_FOR_ONE_CLIENT = re.compile(
    r"\b(fork|thread|pthread_create): .*(Resource temporarily unavailable|Cannot allocate memory)$"
)


def last_words(stderr: str) -> str:
    """The last line that says something, shortened; "" if there is none."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return lines[-1][:160] if lines else ""


def evident_cause(stderr: str) -> str:
    """The likely cause of an end with an error status: by what the program said, without a guess."""
    words = last_words(stderr)
    if _FOR_ONE_CLIENT.search(words):
        return "client_ends_server"
    named = next((cause for text, cause in _EVIDENCE.items() if words.endswith(text)), "")
    return named or ("ended_with_reason" if words else "ended_unasked")
