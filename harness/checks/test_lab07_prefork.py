"""What is true of lab07: processes that are forked before their clients come."""

import json
import re
import signal
from functools import partial
from pathlib import Path

from labkit import Lab, Server, check, expect, kernel, shortage, step, wait_until
from labkit.client import Peer
from labkit.instructions import holding
from labkit.program import Program
from labkit.server import ANOTHER_ADDRESS
from labkit.services import counts_out_bytes
from labkit.steps import if_silent
from labkit.stillness import waits_for_ever
from labkit.waiting import poll

SERVICE = {
    "one_client_a_child": "A child serves one client after the other: it should go back to accept.",
    "kept_until_the_next": "An idle child still holds its last client's connection: it has to be closed when "
    "the client is served, and not when the next one comes.",
    "scan_kills": "A client that came and left, or sent rubbish, took a child with it: its error belongs to "
    "its connection.",
}
START = {
    "few_at_first": "The parent sleeps, and not all children are there yet: start all of them before it "
    "waits for anything.",
}
CHILDREN = {
    "never_replaced": "A child has died and was not replaced: the parent has to reap it and to start "
    "another.",
    "one_signal_one_death": "One SIGCHLD was taken for one death. Signals do not queue: reap in a loop.",
    "tight_loop": "A child that dies at once is started again at once, without an end.",
    "fork_failure_fatal": "A fork failed while a child was replaced, and that ended the whole server.",
    "fork_failure_untold": "A fork failed, and stderr does not say so, or does not say the reason.",
    "orphans": "The children outlive their parent: ask the kernel to end them with it (PR_SET_PDEATHSIG).",
    "replaced_orphans": "A child that was started in place of a dead one outlives its parent: each child has "
    "to ask the kernel for a signal at its parent's end, whenever it is started.",
    "end_is_blocked": "The kernel has sent the children a signal at their parent's end, and it is pending: "
    "a child inherits the mask of blocked signals. Unblock them in the child.",
    "stopped_is_dead": "A child that was stopped (SIGSTOP) was taken for dead: waitpid tells of it only by "
    "WUNTRACED.",
    "ends_its_group": "kill(0, …) reaches all processes of the group, also the script that has started the "
    "server: send the signal to each child.",
    "counts_any_child": "A child that the server has not started has ended, and the server has started one "
    "of its own for it: waitpid(-1, …) tells of every child, also of those of the shell that became the "
    "server by exec.",
    "signals_too_late": "A SIGTERM that comes right behind the first line ended the parent without "
    "`Exiting`: block the signals, or install the handlers, before the listener is there.",
    "port_in_use": "The port was still taken when the server had exited: its children held the listener.",
}
COUNTING = {
    "map_too_short": "Of six hundred children not all could count: the length that mmap is given is in "
    "bytes, and a counter has eight.",
    "own_copy": "Each child counted in a copy of its own: fork copies memory, unless it is mapped as shared.",
    "line_missing": "There is not one line for each child: one that has died before the end has counted, "
    "too.",
    "lost_counts": "Some connections were not counted: two processes changed one counter at once, or it is "
    "too narrow.",
    "counted_late": "A reply was out before its connection was counted: the parent's signal came between "
    "the two.",
    "told_too_early": "The numbers were told while children could still accept and count: end all of them, "
    "and wait for them, before you read the counters.",
    "failed_counted": "An accept that failed was counted. There was no connection: look at its result first.",
    "anothers_counter": "A connection was counted as another child's: each child has a counter of its own.",
}
PASSING = {
    "not_passed": "No child got the connection: what is in the control message?",
    "zero_is_none": "A descriptor may have the number 0: only -1 is none.",
    "made_up": "A message had no descriptor, but the program took one from it. Test whether there is a "
    "control message, and of which type, before you use its number.",
    "copy_kept": "The parent passed the connection and kept its own descriptor: the client never sees the "
    "end.",
    "queue_lost": "The clients in the old version's queue were reset: the new version has a queue of its "
    "own.",
    "client_dropped": "The child that should get the connection had just died, and the client was dropped.",
    "two_hold_it": "More than one process holds the connection.",
    "inherited": "More than one child holds the connection: those that were forked while the parent held it "
    "have inherited it. A child closes first what it has of its parent.",
    "accepted_too_early": "A connection was accepted although no child was free: leave it in the listener's "
    "queue.",
    "dead_is_left": "The dead child is still a zombie. The end of file of its channel comes a moment before "
    "its end: wait for it, or try again.",
    "death_unnoticed": "A child died, and the parent still counts on it.",
    "two_numbers": "With each connection a child gets a second descriptor: the length of a control message "
    "is CMSG_LEN, and "
    "only the room for it CMSG_SPACE.",
    "never_free": "A child that has served its client is not used again.",
}
MOST_CALLS = 300  # begins and ends of system calls until the counts are told

QUEUES = {
    "one_queue": "All children take from one queue: SO_REUSEPORT is about a listening socket for each.",
}
LOAD = {
    "trusts_the_server": "A wrong or short reply was counted as a good one.",
    "one_recv": "A reply may come in many pieces: one recv is not the whole of it.",
    "silent_failure": "Requests failed, and the exit status did not tell.",
}


def ask(server: Server, name: str = "ann", count: int = 10) -> None:
    """One whole request: connect, ask, get all, see the end."""
    client = server.connect(name)
    client.send(b"%d\n" % count)
    client.expect(b"*" * count)
    client.expect_eof(cause=lambda: who_keeps(server, client))
    client.close()


def who_keeps(server: Server, client: Peer, otherwise: str | None = None) -> str | None:
    """Why a connection does not end: which processes hold it?"""
    found = holders(server, client)
    return "copy_kept" if server.pid in found else "two_hold_it" if len(found) > 1 else otherwise


def who_inherits(server: Server, client: Peer) -> str:
    """Why a connection is not held by one child, where the children were forked after its accept."""
    found = holders(server, client)
    if server.pid in found:
        return "copy_kept"
    return "inherited" if len(found) > 1 else "client_dropped"


def is_held_by_one_child(server: Server, client: Peer) -> bool:
    found = holders(server, client)
    return len(found) == 1 and server.pid not in found


def is_held_by_one_that_lives(server: Server, client: Peer) -> bool:
    return len(set(holders(server, client)) & living(server)) == 1


def told_holders(server: Server, client: Peer) -> str:
    return f"held by {holders(server, client)}, the parent is {server.pid}"


def more_than_one_each(children: set[int], held: dict[int, int]) -> bool:
    """Whether some child has so many descriptors more that its last client alone cannot be the reason."""
    return any(len(kernel.descriptors(pid)) > held[pid] + 1 for pid in children)


def living(server: Program) -> set[int]:
    return {pid for pid, state in server.children().items() if state not in "ZX"}


def expect_children(server: Server, count: int, cause: str | None = None) -> set[int]:
    """Waits until so many children live; returns them."""
    wait_until(
        lambda: len(living(server)) == count and len(server.children()) == count,
        f"{count} children live",
        cause=cause,
        instead=lambda: f"{len(living(server))} alive, {len(server.children()) - len(living(server))} dead",
    )
    return living(server)


def expect_started(server: Server, count: int) -> set[int]:
    """Waits until the parent sleeps for the first time: all of its children are there; returns them."""
    server.expect_at_rest()
    found = living(server)
    expect(
        len(found) == count,
        f"{count} children are there before the parent waits",
        otherwise=f"it sleeps, and there are {len(found)}",
        cause="few_at_first",
    )
    return found


def expect_in_accept(server: Server, count: int, cause: str | None = "one_client_a_child") -> None:
    def why() -> str | None:
        return "spins" if not all(kernel.rests(pid) for pid in living(server)) else cause

    wait_until(
        lambda: sum(kernel.waiting_in(pid) == "inet_csk_accept" for pid in living(server)) == count,
        f"{count} children wait in accept",
        cause=why,
        instead=lambda: f"they wait in {sorted(kernel.waiting_in(pid) or '-' for pid in living(server))}",
    )


def end_with_parent(server: Server, cause: str) -> None:
    """Kills the parent (SIGKILL): each child that it has now ends, too."""
    children = living(server)
    server.send_signal(signal.SIGKILL)
    server.expect_exit(-signal.SIGKILL)

    def left() -> list[int]:
        return [pid for pid in children if kernel.state(pid) not in ("", "Z")]

    def why() -> str:
        return "end_is_blocked" if any(kernel.signals(pid, "pending") for pid in left()) else cause

    wait_until(
        lambda: not left(), "no child is left", cause=why, instead=lambda: f"{len(left())} children live"
    )


def disturb(server: Server) -> None:
    """Clients that say nothing, half a line, rubbish, too much, or break off."""
    with step("rude clients come and go", quiet=True):
        for round_ in range(5):
            server.connect(f"scanner {round_}").close()
            server.connect(f"resetter {round_}").reset()
            half = server.connect(f"half {round_}")
            half.send(b"12")
            half.half_close()
            half.expect_eof()
            broken = server.connect(f"garbler {round_}")
            broken.send(b"abc\n")
            broken.expect(b"Bad Request\n")
            broken.expect_eof()
            leaver = server.connect(f"leaver {round_}", receive_buffer=4096)
            leaver.send(b"10000000\n")
            leaver.expect_match(rb"\*")
            leaver.close()


def holders(server: Server, client: Peer) -> list[int]:
    """The processes of the server that hold the connection of this client."""
    ends = kernel.connection(client.remote, client.local)
    inodes = {entry.inode for entry in ends if (entry.address, entry.port) == client.remote}
    names = {f"socket:[{inode}]" for inode in inodes if inode}
    return [pid for pid in kernel.family(server.pid) if names & set(kernel.descriptors(pid).values())]


def load(lab: Lab, server: Server, *arguments: str, cause: str | None = None) -> dict[str, object]:
    """Runs load_client to a good end; returns what it tells as JSON."""
    run = lab.run("load_client", "-p", str(server.port), *arguments, "--json", "127.0.0.1")
    if run.status != 0:  # the server's end says more
        server.expect_alive()
    run.expect_status(0, cause=cause)
    told: dict[str, object] = json.loads(run.stdout)
    expect(told["failed"] == 0, "no request failed", otherwise=f"{told['failed']} failed")
    return told


def counts(server: Server, children: int, cause: str | None = None) -> list[int]:
    """What bytes_server_counted printed when it ended: a line a child, in order."""
    found = re.findall(r"^child (\d+): (\d+) times$", server.stdout.text, re.MULTILINE)
    expect(
        [int(number) for number, _ in found] == list(range(children)),
        f"one line for each of {children} children, once",
        otherwise=f"{len(found)} lines",
        cause=cause,
    )
    return [int(count) for _, count in found]


# --- children that wait in accept


@check(points=4, read="children-in-accept", causes=SERVICE | START)
def test_ten_children_wait_before_any_client(lab: Lab) -> None:
    """A prefork server has its processes ready: no client waits for a fork, an idle server costs nothing."""
    server = lab.server("bytes_server", "-n", "10")
    children = expect_started(server, 10)
    expect_in_accept(server, 10)
    server.expect_asleep()
    before = server.all_descriptors()
    for name in ("ann", "bob", "cat"):
        ask(server, name)
    expect_in_accept(server, 10)
    expect(
        living(server) == children, "they are the same ten", otherwise="others", cause="one_client_a_child"
    )
    wait_until(
        lambda: server.all_descriptors() <= before,
        "no child keeps a descriptor of a client that has gone",
        cause="kept_until_the_next",
        instead=lambda: f"{server.all_descriptors() - before} too many",
    )


@check(points=4, read="children-in-accept", causes=SERVICE)
def test_bytes_are_counted_out_and_rubbish_is_refused(lab: Lab) -> None:
    """The service: a decimal number from 1 to 2^30 and a newline. Everything else is a Bad Request."""
    server = lab.server("bytes_server", "-n", "2")
    expect_children(server, 2)
    ask(server, "ann", 1)
    ask(server, "bob", 200_000)
    counts_out_bytes(server)
    slow = server.connect("slow")
    for byte in (b"1", b"2", b"\n"):
        slow.send(byte)
    slow.expect(b"*" * 12)
    slow.expect_eof()


@check(points=4, read="all-busy")
def test_the_eleventh_client_waits_for_a_free_child(lab: Lab) -> None:
    """As many clients at once as there are children; the next is not refused, it waits in the listener's
    queue.
    """
    server = lab.server("bytes_server", "-n", "3")
    held = server.connect_all("ann", "bob", "cat")
    for client in held:
        client.expect_accepted()
    dan = server.connect("dan")
    dan.send(b"5\n")
    server.expect_at_rest()
    dan.expect_waiting()
    held[1].close()
    dan.expect(b"*****")
    dan.expect_eof()
    held[0].send(b"3\n")
    held[0].expect(b"***")
    held[0].expect_eof()


@check(points=5, read="scans", causes=SERVICE, after="ten_children_wait_before_any_client")
def test_a_scan_costs_no_child(lab: Lab) -> None:
    """A client may leave, reset its connection or send rubbish. This ends the connection, and not the process
    that serves it."""
    server = lab.server("bytes_server", "-n", "3")
    children = expect_children(server, 3)
    disturb(server)
    server.expect_all_logged_gone(lambda: "wrong_name_in_log" if living(server) == children else "scan_kills")
    ask(server)
    expect_in_accept(server, 3, cause="scan_kills")
    expect(living(server) == children, "the same children live", otherwise="others", cause="scan_kills")
    one_has_gone_before_it_is_accepted(lab, "bytes_server")


def one_has_gone_before_it_is_accepted(lab: Lab, program: str) -> None:
    """The accept of its only child, or its own, fails with ECONNABORTED: the next client gets its bytes."""
    server = lab.server(program, "-n", "1", faults={"aborted": 1})
    children = expect_children(server, 1)
    server.connect("who goes at once").expect_eof()
    client = server.connect("the next")
    client.send(b"3\n")
    client.expect(b"***", cause=if_silent("scan_kills"))
    expect(living(server) == children, "the same child lives", otherwise="another", cause="scan_kills")


@check(points=6, read="replacing", causes=CHILDREN)
def test_a_child_that_is_killed_is_replaced(lab: Lab) -> None:
    """If no child is replaced, each accident makes the pool smaller, until it is empty."""
    server = lab.server("bytes_server", "-n", "3")
    before = expect_children(server, 3)
    victim = min(before)
    server.kill_child(victim)
    wait_until(
        lambda: len(living(server) - {victim}) == 3,
        "three children live again",
        cause="never_replaced",
        instead=lambda: f"{len(living(server) - {victim})} live",
    )
    expect(before - {victim} <= living(server), "the others are the same")
    expect_in_accept(server, 3, cause=None)
    expect_children(server, 3, cause="never_replaced")
    end_with_parent(server, cause="replaced_orphans")
    only_its_own_children_count(lab)


def only_its_own_children_count(lab: Lab) -> None:
    """The server has one child more, of the shell that became it. That one ends, and is reaped."""
    shell = 'sleep 3600 & exec "$0" "$@"'
    own = ("-n", "3", "-p", "0")
    path = str(lab.require("bytes_server"))
    server = lab.start("bytes_server", "-c", shell, path, *own, path=Path("/bin/sh"))
    wait_until(lambda: len(living(server)) == 4, "three children of its own live, and one of the shell's")
    other = next(child for child in living(server) if kernel.command(child) == "sleep")
    server.kill_child(other)
    wait_until(lambda: other not in server.children(), "the shell's child is reaped", cause="never_replaced")
    wait_until(lambda: waits_for_ever(server.pid, server.pid), "the server waits for what comes next")
    found = len(living(server))
    expect(found == 3, "three children live", otherwise=f"{found} live", cause="counts_any_child")
    server.stop()


@check(points=6, read="replacing", causes=CHILDREN)
def test_children_that_die_together_are_all_replaced(lab: Lab) -> None:
    """Signals do not queue: while the parent cannot look, five deaths are one SIGCHLD."""
    server = lab.server("bytes_server", "-n", "6")
    victims = sorted(expect_children(server, 6))[:5]
    with server.paused():
        for victim in victims:
            server.kill_child(victim)
        wait_until(
            lambda: all(server.children().get(victim) == "Z" for victim in victims), "the death of all five"
        )
    wait_until(
        lambda: len(living(server)) == 6 and not set(victims) & set(server.children()),
        "six children live, and no dead one is left",
        cause="one_signal_one_death",
        instead=lambda: f"{len(living(server))} live, {len(set(victims) & set(server.children()))} dead are "
        "left",
    )


@check(points=5, read="replacing", causes=CHILDREN)
def test_children_that_cannot_live_are_not_started_in_a_tight_loop(lab: Lab) -> None:
    """A child may die of a fault that kills its replacement, too. Here each child is killed as soon as it is
    forked."""
    server = lab.server("bytes_server", "-n", "4", faults={"child": 1_000_000})
    # Four children and at least one more.
    server.expect_match(r"(?s)(a child is killed.*){5}", stream="stderr", cause="never_replaced")
    server.expect_idle(cause="tight_loop")
    server.stop()
    server = lab.server("bytes_server", "-n", "4", faults={"child": 6})
    expect_children(server, 4, cause="never_replaced")
    ask(server)
    server.stop()
    server = lab.server("bytes_server", "-n", "4")
    expect_children(server, 4)

    def rests() -> bool:
        """Kills what lives; whether the parent sleeps then for a while, and has not started others."""
        for child in living(server):
            server.kill_child(child)
        return kernel.at_rest(server.pid) and kernel.rests(server.pid) and not living(server)

    with step("each child is killed as soon as it is seen", quiet=True):
        wait_until(rests, "the parent sleeps before it starts others", cause="tight_loop")


def replaces_it_later(server: Server, victim: int) -> None:
    """The failed fork has not ended the server: there are three children again."""
    wait_until(
        lambda: len(living(server) - {victim}) == 3 or server.status() is not None,
        "three children live again",
        cause="never_replaced",
        instead=lambda: f"{len(living(server) - {victim})} live",
    )
    expect(server.status() is None, "the server lives", otherwise="it has ended", cause="fork_failure_fatal")


@check(points=2, read="replacing", causes=CHILDREN)
def test_a_fork_that_fails_is_tried_again(lab: Lab) -> None:
    """fork fails while the machine has no process or memory to spare. This ends after a while, and the server
    should still run then."""
    for program in ("bytes_server", "bytes_server_passing"):
        server = lab.server(program, "-n", "3", faults={"nth_fork": 4})
        victim = min(expect_children(server, 3))
        server.kill_child(victim)
        replaces_it_later(server, victim)
        server.expect_match(r"fork: Cannot allocate memory$", stream="stderr", cause="fork_failure_untold")
        ask(server)
        server.stop()
    server = lab.server("bytes_server", "-n", "3")
    if not server.can_be_refused():
        return
    victim = min(expect_children(server, 3))
    with server.no_process_left():
        server.kill_child(victim)
        server.expect_match(
            "fork: Resource temporarily unavailable$", stream="stderr", cause="fork_failure_untold"
        )
    replaces_it_later(server, victim)
    ask(server)


@check(points=6, read="no-orphans", causes=CHILDREN)
def test_children_end_with_their_parent_even_by_sigkill(lab: Lab) -> None:
    """No handler runs at SIGKILL. Children that go on running keep the port, and serve clients without a
    parent."""
    for program in ("bytes_server", "bytes_server_counted"):
        server = lab.server(program, "-n", "4")
        server.expect_private()
        lab.server(program, "-n", "1", "-a", ANOTHER_ADDRESS).stop()
        expect_children(server, 4)
        expect_in_accept(server, 4, cause=None)
        busy = server.connect("busy")
        busy.expect_accepted()
        end_with_parent(server, cause="orphans")


@check(points=3, read="no-orphans", causes=CHILDREN)
def test_ctrl_c_ends_all_and_frees_the_port(lab: Lab) -> None:
    """Ctrl-C reaches the children as well as the parent. `Exiting` comes once, and the port can be used at
    once.
    """
    server = lab.server("bytes_server", "-n", "5", port=lab.own_port(), faults={"group": 1})
    held = server.connect_all("ann", "bob")
    for client in held:
        client.expect_accepted()
    children = expect_children(server, 5)
    with server.paused(min(children)):
        # A parent that misses a child looks again after a second.
        poll(lambda: living(server) != children or waits_for_ever(server.pid, server.pid), 3.2)
        expect(
            living(server) == children,
            "the parent does not take it for dead",
            otherwise=f"there are {len(living(server))} children",
            cause="stopped_is_dead",
        )
    server.send_signal(signal.SIGINT, children=True)
    killed_the_group = "kill: it reaches the whole process group"
    server.expect_exit(0)
    expect(
        killed_the_group not in server.stderr.text,
        "it ends no process but its children",
        otherwise="it has sent a signal to its whole process group",
        cause="ends_its_group",
    )
    expect(server.stdout.text.count("Exiting") == 1, "`Exiting` is printed once")
    again = lab.server("bytes_server", "-n", "2", port=server.port)
    ask(again)
    again.stop(signal.SIGTERM)
    ends_also_while_it_starts(lab, "bytes_server")


def ends_also_while_it_starts(lab: Lab, program: str) -> None:
    """The signal comes when the port is told, and not all of many children are there yet."""
    server = lab.start(program, "-n", "200", "-p", "0")
    server.expect_match(r"^listening on ")
    server.send_signal(signal.SIGTERM)
    server.expect_exit(0, cause="signals_too_late")
    expect(server.stdout.text.count("Exiting") == 1, "`Exiting` is printed once", cause="signals_too_late")


# --- counting


@check(points=6, read="counting", causes=COUNTING)
def test_the_counts_add_up_to_the_connections_served(lab: Lab) -> None:
    """About 1500 connections, 15 at a time: the lecture's own table of this run adds up to 1482."""
    each = lab.random.randint(95, 105)
    server = lab.server("bytes_server_counted", "-n", "10")
    load(lab, server, "-c", "15", "-t", str(each), "-b", "4096")
    server.stop()
    numbers = counts(server, 10, cause="line_missing")
    expect(sum(numbers) > 0, "the parent sees what its children counted", cause="own_copy")
    wanted = 15 * each
    expect(sum(numbers) == wanted, f"the sum is {wanted}", otherwise=f"{sum(numbers)}", cause="lost_counts")
    # The counters take more than a page. One client after the other: each child gets one.
    server = lab.server("bytes_server_counted", "-n", "600")
    load(lab, server, "-c", "1", "-t", "620", "-b", "1", cause="map_too_short")
    server.stop()
    numbers = counts(server, 600, cause="map_too_short")
    expect(sum(numbers) == 620, "the sum is 620", otherwise=f"{sum(numbers)}", cause="map_too_short")


@check(points=5, read="counting", causes=COUNTING, slow=True)
def test_a_child_counts_beyond_65535(lab: Lab) -> None:
    """The lecture's counters were single bytes: at the 256th connection the child died."""
    each = lab.random.randint(6554, 7553)  # drawn, so that nobody can print the sum without counting
    server = lab.server("bytes_server_counted", "-n", "1")
    load(lab, server, "-c", "10", "-t", str(each), "-b", "1")
    server.stop()
    expect(
        counts(server, 1) == [10 * each],
        f"child 0: {10 * each} times",
        otherwise=str(counts(server, 1)),
        cause="lost_counts",
    )


@check(points=5, read="counting", causes=COUNTING | START | SERVICE | CHILDREN)
def test_counts_are_told_once_when_stopped_with_clients(lab: Lab) -> None:
    """The signal comes while clients are connected: the counts include them, each with the child that has it,
    and no child stays.
    """
    server = lab.server("bytes_server_counted", "-n", "4")
    expect_started(server, 4)
    expect_in_accept(server, 4, cause=None)
    held = server.connect_all("ann", "bob", "cat")
    for client in held:
        client.expect_accepted()
    guests = lab.random.randint(4, 9)
    for number in range(guests):
        ask(server, f"guest {number}")
    reader = server.connect("reader", receive_buffer=4096)
    reader.send(b"100000000\n")
    reader.expect_match(rb"\*")
    server.expect_at_rest()  # a child that has accepted has also counted
    family = kernel.family(server.pid)
    server.send_signal(signal.SIGINT, children=True)
    server.expect_exit(0)
    wait_until(
        lambda: not [pid for pid in family if kernel.state(pid) not in ("", "Z")], "no process is left"
    )
    numbers = counts(server, 4, cause="line_missing")
    expect(
        sum(numbers) == len(held) + guests + 1,
        f"the sum is {len(held) + guests + 1}",
        otherwise=f"{sum(numbers)}",
        cause="counted_late",
    )
    # Ann, bob and cat have a child each, from its first client to the end. The fourth child had all others.
    expect(
        sorted(numbers) == [1, 1, 1, guests + 1],
        f"three children have accepted one client each, and the fourth has accepted {guests + 1}",
        otherwise=f"they say {numbers}",
        cause="anothers_counter",
    )
    again = lab.server("bytes_server_counted", "-n", "4")
    again.stop()
    expect(counts(again, 4) == [0, 0, 0, 0], "the next run counts from 0", cause="left_over")
    nobody_counts_while_the_counts_are_told(lab)
    one_has_gone_before_it_is_accepted(lab, "bytes_server_counted")
    ends_also_while_it_starts(lab, "bytes_server_counted")


def nobody_counts_while_the_counts_are_told(lab: Lab) -> None:
    """When the first line of the table is out, no child is left that could serve one more client."""
    server = lab.server("bytes_server_counted", "-n", "2")
    expect_children(server, 2)
    with step("the parent is told to end, and held when it has told the first number", quiet=True):
        with holding(server.pid) as held:
            server.send_signal(signal.SIGTERM)
            for _ in range(MOST_CALLS):
                held.to_next_call()
                if "\nchild 0: " in server.stdout.text or not living(server):
                    break
            left = len(living(server))
    told = f"{left} live"
    expect(left == 0, "no child lives any more", otherwise=told, cause="told_too_early")
    server.expect_exit(0)


# --- passing descriptors


def a_file_comes_with_the_message(lab: Lab) -> None:
    """By the kernel's account: before its recvmsg the child does not have the file, and after it the child
    has it, at the position to which the parent has read.
    """
    file = lab.file("passed", lab.random.randbytes(20))
    program = lab.start("descriptor_demo", str(file), faults={"pass": 1})
    wait_until(
        lambda: kernel.state(program.pid) == "T" or program.status() is not None,
        "the parent has read, and stops before it passes the file",
        cause="not_passed",
    )
    children = list(living(program))
    expect(len(children) == 1, "it has a child", otherwise=f"it has {len(children)}", cause="not_passed")

    def numbers() -> list[int]:
        return [number for number, name in kernel.descriptors(children[0]).items() if name == str(file)]

    calls: list[str] = []

    def has_come() -> bool:
        calls.append(held.to_next_call() or "asleep")
        return len(numbers()) > 0

    with holding(children[0]) as held:
        expect(not numbers(), "the child does not have the file", otherwise="it has opened it")
        program.send_signal(signal.SIGCONT)
        wait_until(has_come, "the child has the file", cause="not_passed")
        expect(calls[-1] == "after recvmsg", "recvmsg has brought it", otherwise=f"it has it {calls[-1]}")
        at = kernel.position(children[0], numbers()[0])
        expect(at == 8, "it is at the ninth byte", otherwise=f"it is at byte {at}", cause="not_passed")
    program.expect_exit(0)


@check(points=4, read="passing", causes=PASSING)
def test_a_passed_descriptor_is_the_same_open_file(lab: Lab) -> None:
    """The receiver gets a number of its own for the same open file, whose position both share."""
    file = lab.file("text", b"0123456789abcdefghij")
    run = lab.run("descriptor_demo", str(file)).expect_status(0, cause="not_passed")
    parents = re.findall(
        r"^parent: descriptor \d+, inode (\d+), read '01234567'$", run.stdout.decode(), re.MULTILINE
    )
    expect(len(parents) == 2, "the parent read the first 8 bytes, of two open files")
    child = rf"child: descriptor \d+, inode {parents[0]}, read '89abcdef'\n"
    expect(
        len(re.findall(child, run.stdout.decode())) == 2,
        "the child read on, both times",
        otherwise=repr(run.stdout.decode()),
        cause="not_passed",
    )
    expect(run.stdout.endswith(b"child: end of file\n"), "the child saw the end of the channel")
    # Without a standard input the first number that is free in the child is 0.
    run = lab.run("descriptor_demo", str(file), closed=(0,)).expect_status(0, cause="zero_is_none")
    run.expect_match(r"^child: descriptor 0, inode \d+, read '89abcdef'$", cause="zero_is_none")
    # As if the receiver had no number free for it: the kernel delivers the byte alone.
    run = lab.run("descriptor_demo", str(file), faults={"bare": 1})
    expect(
        b"child: descriptor" not in run.stdout,
        "from a message without a descriptor the child takes none",
        otherwise=repr(run.stdout.decode()),
        cause="made_up",
    )
    run.expect_match("^descriptor_demo: ", cause="made_up", stream="stderr")
    a_file_comes_with_the_message(lab)


@check(points=6, read="passing", causes=PASSING | START | CHILDREN)
def test_one_child_holds_a_connection_and_the_parent_does_not(lab: Lab) -> None:
    """A connection ends for its client when the last process closes it: only the child that serves it may
    have it.
    """
    server = lab.server("bytes_server_passing", "-n", "4")
    server.expect_private()
    lab.server("bytes_server_passing", "-n", "1", "-a", ANOTHER_ADDRESS).stop()
    expect_started(server, 4)
    seen = set()
    clients = server.connect_all("ann", "bob", "cat")
    server.expect_at_rest()
    for client in clients:
        wait_until(
            partial(is_held_by_one_child, server, client),
            f"{client.name}'s connection is held by one child",
            cause=partial(who_keeps, server, client, "not_passed"),
            instead=partial(told_holders, server, client),
        )
        seen.update(holders(server, client))
    expect(len(seen) == 3, "each has a child of its own", otherwise=f"{len(seen)} children")
    end_with_parent(server, cause="orphans")


@check(points=6, read="all-busy", causes=PASSING)
def test_clients_wait_their_turn_while_all_children_are_busy(lab: Lab) -> None:
    """First come, first served: a connection for which no child is free stays in the queue, in its place."""
    server = lab.server("bytes_server_passing", "-n", "2")
    ann, bob = server.connect_all("ann", "bob")
    for client in (ann, bob):
        client.expect_accepted()
        wait_until(partial(holders, server, client), f"a child has {client.name}")
    server.expect_asleep()
    cat, dan, eve = server.connect_all("cat", "dan", "eve")
    server.expect_at_rest()
    for client in (cat, dan, eve):
        with step(f"{client.name} waits in the backlog") as current:
            expect(client.accepted() is False, "it was not accepted", cause="accepted_too_early")
            current.outcome = "seen"
    server.expect_idle()
    ann.close()
    cat.expect_accepted(cause="never_free")
    dan.expect_waiting()
    cat.send(b"3\n")
    cat.expect(b"***")
    cat.expect_eof(cause={"behaviour": "copy_kept"})
    cat.close()
    dan.expect_accepted(cause="never_free")
    eve.expect_waiting()
    bob.send(b"2\n")
    bob.expect(b"**")
    bob.expect_eof(cause={"behaviour": "copy_kept"})
    bob.close()
    eve.send(b"1\n")
    eve.expect(b"*")


@check(points=4, read="passing", causes=PASSING)
def test_the_passing_server_serves(lab: Lab) -> None:
    """The parent accepts, a child answers, and is then free for the next client: also for the 500th."""
    server = lab.server("bytes_server_passing", "-n", "3")
    children = expect_children(server, 3)
    server.expect_at_rest()
    before = len(server.descriptors())
    held = {pid: len(kernel.descriptors(pid)) for pid in children}
    for name in ("ann", "bob", "cat", "dan", "eve"):
        ask(server, name)
    load(lab, server, "-c", "8", "-t", "62", "-b", "5000")
    ask(server)
    expect(living(server) == children, "the same children live", cause="death_unnoticed")
    server.expect_all_logged_gone()
    wait_until(
        lambda: len(server.descriptors()) <= before,
        "the parent has no more descriptors than before",
        cause="copy_kept",
        instead=lambda: f"{len(server.descriptors())} instead of {before}",
    )
    wait_until(
        lambda: all(len(kernel.descriptors(pid)) <= held[pid] for pid in children),
        "nor has a child",
        cause=lambda: "two_numbers" if more_than_one_each(children, held) else "kept_until_the_next",
        instead=lambda: "; ".join(
            f"{len(kernel.descriptors(pid))} instead of {held[pid]}" for pid in children
        ),
    )
    server.expect_idle()
    server.stop()


def why_not_replaced(server: Server, victim: int) -> str:
    if len(living(server)) == 3:
        return "dead_is_left"
    return "death_unnoticed" if victim in server.children() else "never_replaced"


@check(points=6, read="passing", causes=PASSING | {"never_replaced": CHILDREN["never_replaced"]})
def test_a_child_killed_while_serving_costs_its_client_only(lab: Lab) -> None:
    """Each process serves its own client: if one process dies, the other clients notice nothing."""
    server = lab.server("bytes_server_passing", "-n", "3", faults={"dying": 1})
    ann, bob = server.connect_all("ann", "bob")
    for client in (ann, bob):
        wait_until(
            partial(is_held_by_one_that_lives, server, client),
            f"a child has {client.name}",
            cause="not_passed",
        )
    victim = next(iter(set(holders(server, ann)) & living(server)))
    server.kill_child(victim)
    with step("ann's connection ends"):
        ann.read_to_eof(cause="copy_kept")
    wait_until(
        lambda: len(living(server)) == 3 and victim not in server.children(),
        "three children live again, and the dead one is gone",
        cause=lambda: why_not_replaced(server, victim),
        instead=lambda: f"{server.children()}",
    )
    guests = server.connect_all("cat", "dan")
    for guest in guests:
        guest.expect_accepted(cause="death_unnoticed")
    for guest in [*guests, bob]:
        guest.send(b"4\n")
        guest.expect(b"****", cause={rung: "death_unnoticed" for rung in ("answer", "closed", "reset")})
        guest.expect_eof(cause={"behaviour": "copy_kept"})


@check(points=4, read="passing", causes=PASSING)
def test_a_client_whose_child_has_just_died_is_served(lab: Lab) -> None:
    """Between the accept and the passing, every free child may die. The client is still connected, and no
    child has its connection."""
    server = lab.server("bytes_server_passing", "-n", "2", faults={"pass": 1})
    children = expect_children(server, 2)
    ann = server.connect("ann")
    wait_until(
        lambda: kernel.state(server.pid) == "T",
        "the parent has accepted ann, and stops before it passes her on",
        cause="not_passed",
    )
    with step("both children are killed"):
        for child in children:
            server.kill_child(child)
        wait_until(lambda: set(server.children().values()) == {"Z"}, "both are dead")
    eve = server.connect("eve")
    with step("the parent continues (SIGCONT)"):
        server.send_signal(signal.SIGCONT)
    wait_until(
        partial(is_held_by_one_child, server, ann),
        "ann's connection is held by one child, a new one",
        cause=lambda: who_inherits(server, ann),
        instead=partial(told_holders, server, ann),
    )
    ann.send(b"3\n")
    ann.expect(b"***", cause={rung: "client_dropped" for rung in ("answer", "closed", "reset")})
    ann.expect_eof(cause={"behaviour": "copy_kept"})
    ann.close()
    eve.send(b"2\n")
    eve.expect(b"**", cause={rung: "client_dropped" for rung in ("answer", "closed", "reset")})
    ask(server, "bob")
    server.stop()


@check(points=3, read="scans", causes=SERVICE)
def test_a_scan_costs_the_passing_server_nothing(lab: Lab) -> None:
    """The lecture's server that passes descriptors died as a whole at the first client that came and left."""
    server = lab.server("bytes_server_passing", "-n", "2")
    children = expect_children(server, 2)
    disturb(server)
    server.expect_all_logged_gone(lambda: "wrong_name_in_log" if living(server) == children else "scan_kills")
    ask(server, "ann")
    ask(server, "bob")
    expect(living(server) == children, "the same children live", otherwise="others", cause="scan_kills")
    one_has_gone_before_it_is_accepted(lab, "bytes_server_passing")


# --- a shortage of descriptors


@check(
    points=4,
    read="all-busy",
    causes=shortage.CAUSES | {"failed_counted": COUNTING["failed_counted"]},
    after="ten_children_wait_before_any_client",
    slow=True,
)
def test_a_shortage_of_descriptors_is_rested_from(lab: Lab) -> None:
    """accept fails while no descriptor is free, and the client waits in the backlog. The server logs this
    once, and goes on when a descriptor is free."""
    for program in ("bytes_server", "bytes_server_counted", "bytes_server_reuseport", "bytes_server_passing"):
        server = shortage.rests_when_accept_fails(lab, program, "-n", "1", request=b"2\n", reply=b"**")
        if program == "bytes_server_counted":
            told = counts(server, 1)
            expect(told == [1], "one connection is counted", otherwise=str(told), cause="failed_counted")


# --- what the kernel does


@check(points=0, read="a-listener-for-each-child", causes=QUEUES)
def test_reuseport_keeps_a_client_in_its_childs_queue(lab: Lab) -> None:
    """The kernel has given the client to one child's socket. It waits there while this child is busy, even if
    other children are free."""
    server = lab.server("bytes_server_reuseport", "-n", "2")
    expect_in_accept(server, 2)
    held = server.connect("held")
    held.expect_accepted()
    guests = server.connect_all(*(f"guest {number}" for number in range(24)))
    for guest in guests:
        guest.send(b"2\n")
        guest.half_close()
    wait_until(
        lambda: sum(kernel.waiting_in(pid) == "inet_csk_accept" for pid in living(server)) == 1,
        "one child is free again",
    )
    lucky = [guest for guest in guests if guest.accepted() is not False]
    expect(
        0 < len(lucky) < 24,
        "some guests were served, some wait for the busy child",
        otherwise=f"{len(lucky)} of 24 served",
        cause="one_queue",
    )
    for guest in lucky:
        guest.expect(b"**")
        guest.close()
    held.close()
    for guest in guests:
        if guest not in lucky:
            guest.expect(b"**")
            guest.close()
    server.stop()


def a_listener_comes_with_the_message(lab: Lab) -> None:
    """By the kernel's account: recvmsg brings a second descriptor of a socket that listens, and then clients
    are accepted: what is printed of it is words.
    """
    program = lab.start("restart", faults={"pass": 1})
    wait_until(
        lambda: kernel.state(program.pid) == "T" or program.status() is not None,
        "it stops before it passes the listener",
        cause="not_passed",
    )
    expect(program.status() is None, "it passes one", otherwise="it has ended", cause="not_passed")
    listeners = {f"socket:[{one.inode}]" for one in kernel.listening(program.pid)}
    calls: list[str] = []

    def twice() -> bool:
        found = [what for what in program.descriptors().values() if what in listeners]
        return len(found) > len(set(found))

    def has_come() -> bool:
        calls.append(held.to_next_call() or "asleep")
        return twice()

    with holding(program.pid) as held:
        expect(not twice(), "it has one descriptor of each listener", otherwise="two of one")
        program.send_signal(signal.SIGCONT)
        wait_until(has_come, "it has two of one listener", cause="not_passed")
        came = "recvmsg has brought the second one"
        expect(calls[-1] == "after recvmsg", came, otherwise=f"it has it {calls[-1]}", cause="not_passed")
        with step("then forty clients connect, and it accepts them"):
            for wanted in 40 * ["after connect"] + 40 * ["after accept"]:
                while not (call := held.to_next_call() or "asleep").startswith(wanted):
                    if call == "asleep":
                        raise program.failure("it waits instead", cause="not_passed")
    program.expect_exit(0)


@check(points=2, read="a-restart", causes=PASSING)
def test_a_passed_listener_loses_no_client(lab: Lab) -> None:
    """When a listener is closed, its queue is reset. If another process has the same listener, it stays open,
    and its queue stays, too."""
    run = lab.run("restart").expect_status(0, cause="not_passed")
    lost = re.findall(
        r"^SO_REUSEPORT, two queues: (\d+) of 40 connections are lost$", run.stdout.decode(), re.MULTILINE
    )
    expect(len(lost) == 1, "it tells how many two queues lose", otherwise=repr(run.stdout))
    if kernel.setting("net/ipv4/tcp_migrate_req") == "0":
        expect(0 < int(lost[0]) < 40, "two queues lose some", otherwise=lost[0])
    wanted = "passed listener, one queue: 0 of 40 connections are lost"
    run.expect_match(f"^{wanted}$", cause="queue_lost")
    # The message is sent, and comes without its descriptor: then nobody has the old one's queue.
    without = lab.run("restart", faults={"bare": 1})
    told = without.stdout.decode(errors="replace")
    expect(wanted not in told, "without the descriptor it is not said", otherwise=told, cause="not_passed")
    a_listener_comes_with_the_message(lab)


@check(points=0, read="the-herd")
def test_herd_counts_who_is_woken(lab: Lab) -> None:
    """accept wakes one process a connection, select, poll and plain epoll wake all that wait."""
    run = lab.run("herd", "-n", "6", "-t", "30").expect_status(0)
    rows = dict(re.findall(r"^(\S.*?) +(\d+\.\d\d)$", run.stdout.decode(), re.MULTILINE))
    ways = ["accept", "select", "poll", "epoll", "epoll, EPOLLEXCLUSIVE", "SO_REUSEPORT"]
    expect(list(rows) == ways, "a row for each way of waiting", otherwise=str(list(rows)))
    one = ["accept", "epoll, EPOLLEXCLUSIVE", "SO_REUSEPORT"]
    expect(all(float(rows[way]) < 2 for way in one), f"one wake-up: {', '.join(one)}", otherwise=str(rows))
    expect(
        all(float(rows[way]) > 4 for way in ways if way not in one),
        "all six: select, poll, epoll",
        otherwise=str(rows),
    )


# --- the load client


@check(points=0, read="load", causes=LOAD)
def test_load_client_gets_every_reply_whole(lab: Lab) -> None:
    """A reply may come in any number of pieces. The client counts it when all of it has come."""
    listener = lab.listen()
    client = lab.start("load_client", "-p", str(listener.port), "-c", "1", "-t", "1", "-b", "10", "127.0.0.1")
    peer = listener.accept("the server", client)
    peer.expect(b"10\n")
    for piece in (b"****", b"*****", b"*"):
        peer.send(piece)
        peer.expect_read()
    peer.close()
    client.expect_exit(0, cause=lambda: "one_recv" if "error:" in client.stdout.text else None)
    client = lab.start(
        "load_client",
        "-p",
        str(listener.port),
        "-m",
        "upper",
        "-k",
        "-c",
        "1",
        "-t",
        "2",
        "-b",
        "3",
        "127.0.0.1",
    )
    peer = listener.accept("the server", client)
    for request, pieces in ((b"a", (b"A",)), (b"abc", (b"AB", b"C")), (b"abc", (b"A", b"BC"))):
        peer.expect(request, cause="one_recv")
        for piece in pieces:
            peer.send(piece)
            peer.expect_read()
    client.expect_exit(0, cause=lambda: "one_recv" if "error:" in client.stdout.text else None)
    listener.close()
    server = lab.server("bytes_server", "-n", "3")
    run = lab.run(
        "load_client", "-p", str(server.port), "-c", "4", "-t", "5", "-b", "300000", "-i", "127.0.0.1"
    )
    run.expect_status(0, cause="one_recv").expect_match(r"^20 requests in [\d.]+ s, \d+ a second$")
    run.expect_match(r"^took p50 [\d.]+ ms, p90 [\d.]+ ms, p99 [\d.]+ ms, max [\d.]+ ms$")
    run.expect_match(r"^no errors$")
    expect(
        not server.stderr.text,
        "the server lost nobody",
        otherwise="it was left in the middle of a reply",
        cause="one_recv",
    )
    told = load(lab, server, "-c", "3", "-t", "7", "-b", "1")
    expect(told["requests"] == 21, "21 requests are told", otherwise=str(told))
    wanted = {
        "requests",
        "failed",
        "seconds",
        "per_second",
        "p50_ms",
        "p90_ms",
        "p99_ms",
        "max_ms",
        "client_cpu_seconds",
        "errors",
    }
    expect(wanted <= set(told), "the JSON has every figure", otherwise=str(wanted - set(told)))


@check(points=0, read="load", causes=LOAD)
def test_load_client_tells_what_went_wrong(lab: Lab) -> None:
    """If a load client does not report failures, it measures how fast a server fails."""
    listener = lab.listen()
    for reply, error in (
        (b"***", "short reply"),
        (b"****++++++", "wrong bytes"),
        (b"*" * 11, "more than was asked for"),
    ):
        client = lab.start(
            "load_client", "-p", str(listener.port), "-c", "1", "-t", "2", "-b", "10", "127.0.0.1"
        )
        for answer in (b"*" * 10, reply):
            server = listener.accept("server", client)
            server.expect(b"10\n")
            server.send(answer)
            server.close()
        client.expect_exit(
            1, cause=lambda: "silent_failure" if "error:" in client.stdout.text else "trusts_the_server"
        )
        client.expect_match(rf"^error: {error}: 1 times$", cause="trusts_the_server")
    port = listener.port
    listener.close()
    run = lab.run("load_client", "-p", str(port), "-c", "2", "-t", "3", "127.0.0.1").expect_status(
        1, cause="silent_failure"
    )
    run.expect_match(r"^error: connect: Connection refused: 6 times$")
