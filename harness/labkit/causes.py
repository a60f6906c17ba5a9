"""What a check declares of itself, and the likely causes that any check can name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

# Causes by name, for failures that may happen in every check. A check's own causes come first.
COMMON_CAUSES = {
    "does_not_build": "The compiler refuses the source: begin with its first error.",
    "program_missing": "The program was not built: is its source file there, under its own name?",
    "does_not_start": "The program could not be started at all.",
    "exited_early": "The program ended before it listened.",
    "not_listening": "No socket of the program listens: were socket, bind and listen all called, "
    "in this order?",
    "not_written": "The program, or a header that it includes, says that it is not written yet. Its "
    "contract is in "
    "handouts/contracts.",
    "backlog_full": "The kernel dropped the client's SYN: the queue of clients that wait for accept was "
    "full. The backlog "
    "is the second argument of listen.",
    "wrong_first_line": "The first line on stdout has to be `listening on ADDRESS:PORT`, flushed at once.",
    "handler_too_late": "SIGTERM came right after the first line, and killed the server. Whoever has read "
    "that line may stop it: install the handlers before the line is written.",
    "never_accepted": "The connection waits in the backlog: the program does not come back to accept.",
    "no_answer": "The connection was accepted, and nothing was answered.",
    "no_datagram": "No datagram came back: was the request taken, and the reply sent to the address "
    "that it came from?",
    "standard_descriptor_taken": "A standard descriptor was closed when the program started, and a socket "
    "got its number: "
    "the log goes there. Open /dev/null for it first.",
    "replies_dropped": "The replies to the lines before the one that is too long are missing: they go out "
    "first.",
    "empty_line_skipped": "An empty line got no answer. It is a line like any other.",
    "swaps_when_refused": "The line was too long, and what the client sent behind it was carried out: read "
    "it and throw it away.",
    "loose_number": "A number was read from the beginning of the line, and the rest of it forgotten.",
    "other_date": "The date in the reply is not as ctime has it: a day of one digit has a blank before it, "
    "not a zero.",
    "largest_refused": "The largest number that the contract allows was refused.",
    "fewer_threads": "A program that cannot have all its threads has to say so and to end: it went on with "
    "fewer, or waits for those that have begun.",
    "turned_away_unlogged": "The log says that a client has connected, and not that it has disconnected: "
    "it was "
    "turned away.",
    "wrong_name_in_log": "The log names another client than the one that has gone, or one of them twice: "
    "each "
    "`disconnected HOST:PORT` has the address of its own `connected`.",
    "left_over": "What the last run stored is still there: shared memory with a name, or a file, outlives "
    "its program.",
    "reset_instead": "The connection was reset (RST), not closed in order (FIN): a close with unread bytes "
    "does so, and so does SO_LINGER with a time of 0.",
    "gives_up_on_a_client": "A wait for a client has a limit of time (SO_RCVTIMEO, SO_SNDTIMEO): a "
    "client that is silent, or that does not read, loses its connection.",
    "reply_held_back": "The reply was not sent when the program began to wait for more: it goes out when a "
    "timer ends (MSG_MORE and TCP_CORK let the kernel wait for 200 ms, too).",
    "exiting_again": "`Exiting` is printed once, by the server itself: a child should end without a word.",
    "hung_up": "The connection was closed where an answer was due.",
    "call_failed": "A call failed while this client was served, and the connection was closed. The "
    "program says "
    "which call it was, and why it failed.",
    "answers_at_the_end": "The answer came only when the client had said that it sends no more (end of "
    "file): "
    "answer what has come before you wait for more.",
    "port_ignored": "The server listens at another port than it was told.",
    "other_default_port": "Without -p the program uses another port than its contract says.",
    "port_shared": "Two servers can listen on one port, and each gets a part of the clients: SO_REUSEPORT, "
    "which is not SO_REUSEADDR.",
    "address_ignored": "The server listens at another address than it was told.",
    "open_to_the_network": "The server listens at an address that other machines can reach, and nobody asked "
    "for that: without -a it is 127.0.0.1.",
    "port_not_in_network_order": "The two bytes of the port are exchanged: a socket address has them in the "
    "network's order (htons).",
    "port_told_in_network_order": "The two bytes of the port are exchanged in what was printed: a socket "
    "address "
    "has them in the network's order (ntohs).",
    "other_log": "The log has `connected HOST:PORT` when a client is accepted, with its address, and "
    "`disconnected HOST:PORT` when its connection has ended.",
    "spins": "The program uses the CPU all the time instead of waiting: which call should block, "
    "and does not?",
    "wakes_for_nothing": "The program wakes up again and again while nothing happens. Wait without a time "
    "limit until something does.",
    "sigpipe": "A send to a client that had gone raised SIGPIPE, which ends a process that does not prepare "
    "for it (MSG_NOSIGNAL).",
    "crashed": "The program made an error in its own memory, or threw an exception that nothing caught.",
    "interrupted": "A signal interrupted a call, which then failed with EINTR: that is no error. Try again, "
    "or set "
    "SA_RESTART.",
    "bad_descriptor": "A call was given a descriptor that is not open: closed before, or twice, or never "
    "opened.",
    "no_descriptor_left": "The program had no descriptor left: are those of clients that have gone closed? "
    "And a shortage "
    "passes: it is no reason to end.",
    "address_in_use": "bind was refused: the address has a listener, or connections of one that has ended. "
    "SO_REUSEADDR "
    "is for the latter.",
    "ended_with_reason": "The program ended, although nobody had asked it to, and said why.",
    "ended_unasked": "The program ended with an error status, although nobody had asked it to, and said "
    "nothing.",
    "client_ends_server": "One client's error ended the whole program: it belongs to that client's "
    "connection alone.",
    "sanitizer": "The sanitizer found an error in the program: begin with its first report.",
    "data_race": "Two threads used the same memory at once, one of them to write it, and no lock made them "
    "take turns.",
    "lock_order": "Two locks are taken in both orders: two threads that hold one lock each wait for each "
    "other for ever.",
    "thread_leak": "A thread that has ended is neither joined nor detached: its stack is kept for a join "
    "that never comes.",
    "double_lock": "A thread locked a mutex that it holds already: it waits for itself.",
    "floods": "It printed, or sent, many MiB that nobody asked for: a loop that writes without waiting for "
    "anything?",
    "too_many_processes": "It made more processes than a machine bears: a child that goes on in the parent's "
    "loop forks, too.",
    "disk_hog": "It wrote more files, or larger ones, than the sandbox has room for.",
    "went_on": "The program was continued (SIGCONT) while the check held it, so the events did not come all "
    "at once.",
    "served_by_another": "An iterative server serves each client itself: here another process has the "
    "connection.",
    "not_disturbed": "The program does not call what was to be disturbed (send, recv, fork, …) from the C "
    "library, or not for all of it: a function of its own of that name, or the bare system call. So the "
    "check cannot see how the program bears the disturbance.",
    "blinds_sanitizer": "The program tells the sanitizer what not to report.",
    "hides": "It has made itself unreadable (prctl PR_SET_DUMPABLE, or a program file that its user may not "
    "read): "
    "nothing can be seen of it.",
    "not_one_loop": "Threads or child processes serve the clients: here one thread of one process serves "
    "them all, by turns.",
    "no_child": "The client is served, and not by a child of its own: fork for each client.",
    "memory_hog": "Its processes together held more memory than they may: what grows without bound?",
    "outlives_its_server": "A child, or another process that the server has started, goes on after the "
    "server "
    "has ended.",
    "does_not_end": "The program goes on when it should have ended.",
    "wrong_exit_status": "The program ended with another exit status than it should.",
    "ended_too_early": "The program ended while there was still work for it.",
}


@dataclass(frozen=True)
class Declaration:
    """What a check says of itself, beside its name and docstring."""

    points: float
    read: str  # the anchor of the handout's section
    causes: dict[str, str] = field(default_factory=dict)
    hidden: bool = False
    title: str = ""
    after: str = ""  # the check that has to pass before this one counts
    slow: bool = False


def check(
    points: float,
    read: str,
    causes: dict[str, str] | None = None,
    hidden: bool = False,
    title: str = "",
    after: str = "",
    slow: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Declares a pytest function to be a check.

    points: of the lab's 100; a check without points is a demonstration, which shows given programs: it is not
    run for a submission. read: anchor of the section in the lab's handout. causes: the likely causes that it
    can name, by the names which the steps of the check use. hidden: not in the students' release. title: one
    line; without it the function's name says it. after: the name of another check of this lab: this one
    counts only if that one passes. Robustness counts once the server serves. slow: one that takes seconds,
    and begins before the others.
    """

    def declare(function: Callable[..., Any]) -> Callable[..., Any]:
        name = title or function.__name__.removeprefix("test_").replace("_", " ")
        declaration = Declaration(points, read, causes or {}, hidden, name, after, slow)
        function.declaration = declaration  # type: ignore[attr-defined]
        return function

    return declare
