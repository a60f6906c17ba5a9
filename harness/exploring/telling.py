"""Tells a run in words: one numbered step for each turn of a thread, with the names of the program's source.
"""

from __future__ import annotations

import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from .engine import Event, Run

_ADDR2LINE = "/usr/bin/addr2line"


@dataclass(frozen=True)
class Site:
    """A place in the program's own source."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


def sites(program: Path, addresses: Iterable[int]) -> dict[int, list[Site]]:
    """For each address the lines of source that it stands for, the innermost call first: those of the
    program's directory.
    """
    wanted = sorted(set(addresses))
    if not wanted or not Path(_ADDR2LINE).exists():
        return {}
    command = [_ADDR2LINE, "-a", "-i", "-e", str(program), *map(hex, wanted)]
    run = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, errors="replace", check=False
    )
    found: dict[int, list[Site]] = defaultdict(list)
    sources: dict[Path, list[str]] = {}
    at = 0
    for line in run.stdout.splitlines():
        if line.startswith("0x"):
            at = int(line, 16)
            continue
        name, _, number = line.partition(" ")[0].rpartition(":")
        path = Path(name) if Path(name).is_absolute() else program.parent / name
        if not number.isdecimal() or path.parent.resolve() not in (
            program.parent.resolve(),
            program.parent.parent.resolve(),
        ):
            continue
        if path not in sources:
            sources[path] = path.read_text(errors="replace").splitlines() if path.is_file() else []
        text = sources[path][int(number) - 1].strip() if 0 < int(number) <= len(sources[path]) else ""
        found[at].append(Site(path.name, int(number), text))
    return found


_NOTIFIES = re.compile(r"([\w.>-]*\w)(?:\.|->)notify_(?:one|all)")
_WAITS = re.compile(r"([\w.>-]*\w)(?:\.|->)wait\w*\(|\bwait\w*\((\w+),")
_LOCKS = re.compile(
    r"(?:lock_guard|unique_lock|scoped_lock|shared_lock)\b[^({]*[({]([\w.>-]+)[,)}]|([\w.>-]*\w)(?:\.|->"
    r")(?:try_)?lock\w*\("
)
_FUTEXES = re.compile(r"([\w.>-]*\w)(?:\.|->)(?:acquire|release|arrive\w*|wait|count_down|try_acquire\w*)\(")


@dataclass
class Turn:
    """What a thread does from when it gets the turn to when it loses it."""

    who: int
    phrases: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    preempted: bool = False  # it could have gone on

    @property
    def folded(self) -> list[str]:
        """The phrases, those of a long turn without its middle."""
        left_out = len(self.phrases) - 20
        return (
            self.phrases
            if left_out <= 1
            else [*self.phrases[:10], f"({left_out} steps more)", *self.phrases[-10:]]
        )


class Story:
    """A run in words. `program`: for the names that the source gives to locks and conditions."""

    def __init__(self, run: Run, program: Path) -> None:
        self.run = run
        self.sites = sites(program, (address for event in run.events for address in event.frames))
        self.names = self._names()
        self.turns = self._turns()

    def thread(self, number: int) -> str:
        return self.run.threads[number].name if 0 <= number < len(self.run.threads) else "?"

    def site(self, event: Event) -> Site | None:
        """Where in the program's own source the event's call stands."""
        return next((site for address in event.frames for site in self.sites.get(address, [])), None)

    def _names(self) -> dict[int, str]:
        """What the source calls each lock and condition."""
        candidates: dict[int, Counter[str]] = defaultdict(Counter)
        kinds: dict[int, str] = {}
        for event in self.run.events:
            if event.of < 0:
                continue
            locks = event.kind in ("locks", "waits_for_lock", "shares", "tries_in_vain")
            kinds.setdefault(event.of, "mutex" if locks else "condition")
            if event.kind in ("unlocks", "unshares", "woken", "times_out", "spurious"):
                continue
            lines = [site.text for address in event.frames for site in self.sites.get(address, [])]
            pattern = _LOCKS if locks else _NOTIFIES if event.kind.startswith("wakes") else _WAITS
            weight = 3 if pattern is _NOTIFIES else 1
            for line in lines:
                for wanted in (pattern, _FUTEXES):
                    if (match := wanted.search(line)) and (name := next(filter(None, match.groups()), "")):
                        candidates[event.of][name] += weight * (2 if name.endswith("_") else 1)
                        break
        chosen = {of: named.most_common(1)[0][0] for of, named in candidates.items() if named}
        twice = {name for name, count in Counter(chosen.values()).items() if count > 1}
        several = {of for of, named in candidates.items() if len(named) > 1 and kinds[of] == "mutex"}
        names = {}
        for of, kind in kinds.items():
            numbered = f"{kind} {sum(1 for other in kinds if kinds[other] == kind and other <= of)}"
            names[of] = numbered if of not in chosen or chosen[of] in twice or of in several else chosen[of]
        return names

    def name(self, of: int) -> str:
        return self.names.get(of, f"lock {of + 1}")

    def phrase(self, event: Event) -> str:
        """The event in words, without who did it."""
        of, other = self.name(event.of), self.thread(event.other)
        if event.kind in ("wakes_one", "wakes_all"):
            return f"wakes {other} on {of}" if event.other >= 0 else f"notifies {of}, on which nobody waits"
        return {
            "begins": "begins",
            "ends": "ends",
            "creates": f"starts {other}",
            "joins": f"has joined {other}",
            "detaches": f"detaches {other}",
            "locks": f"locks {of}",
            "waits_for_lock": f"waits for {of}, which {other} has",
            "unlocks": f"unlocks {of}",
            "tries_in_vain": f"tries {of} in vain",
            "shares": f"read-locks {of}",
            "unshares": f"unlocks {of}",
            "waits": f"waits on {of}",
            "woken": f"is back from {of}",
            "spurious": f"is back from {of} for no reason (a spurious wake-up)",
            "times_out": f"{other}'s time is over",
            "yields": "yields",
            "sleeps": "sleeps",
            "leaves": "waits for the world outside",
            "returns": "is back",
            "posts": f"posts {of}",
            "waited": f"has taken {of}",
        }.get(event.kind, event.kind)

    def _turns(self) -> list[Turn]:
        turns: list[Turn] = []
        printed = 0
        events = [*self.run.events, None]
        output = self.run.output
        who = 0
        for event in events:
            end = event.output if event else len(output)
            lines = output[printed:end].decode(errors="replace").splitlines()
            printed = max(printed, end)
            if event and event.kind == "runs":
                self._say(turns, who, lines)
                if turns:
                    turns[-1].preempted = self._preempts(event)
                who = event.other
                continue
            if event:
                self._say(turns, who, lines)
                who = event.who
                self._say(turns, who, [])
                turns[-1].phrases.append(self.phrase(event))
                turns[-1].events.append(event)
            else:
                self._say(turns, who, lines)
        return [turn for turn in turns if turn.phrases]

    def _say(self, turns: list[Turn], who: int, lines: list[str]) -> None:
        if not turns or turns[-1].who != who:
            turns.append(Turn(who))
        for line in lines:
            turns[-1].phrases.append(_printed(line, self.thread(who)))

    def _preempts(self, event: Event) -> bool:
        at = event.choice - 1
        if not 0 <= at < len(self.run.choices):
            return False
        choice = self.run.choices[at]
        return bool(choice >> 32 >> (choice >> 8 & 255) & 1)

    def steps(self) -> list[str]:
        """One line for each turn."""
        lines = []
        for number, turn in enumerate(self.turns, 1):
            ending = " — and is preempted" if turn.preempted else ""
            lines.append(f"{number:>3}  {self.thread(turn.who)}: {', '.join(turn.folded)}{ending}")
        return lines

    def end(self) -> list[str]:
        """Says which thread waits for what, if no thread could run at the end."""
        if self.run.how != "deadlock":
            return []
        lines = []
        for number, thread in enumerate(self.run.threads):
            held = [self.name(of) for of in self._held(number)]
            having = f" has {' and '.join(held)}," if held else ""
            if thread.wants in ("lock", "share"):
                owner = "itself" if thread.owner == number else self.thread(thread.owner)
                lines.append(f"{thread.name}{having} waits for {self.name(thread.of)}, which {owner} has")
            elif thread.wants == "told":
                lines.append(
                    f"{thread.name}{having} waits on {self.name(thread.of)}, and nobody is left to notify it"
                )
            elif thread.wants == "end":
                lines.append(f"{thread.name}{having} waits for the end of {self.thread(thread.joins)}")
            elif thread.wants == "permit":
                lines.append(f"{thread.name}{having} waits for a permit of {self.name(thread.of)}")
        return lines

    def _held(self, number: int) -> list[int]:
        """The locks that the thread has at the end, in the order of locking."""
        held: list[int] = []
        again: dict[int, int] = {}  # the mutex that the waiting on a condition has unlocked
        for event in (event for event in self.run.events if event.who == number):
            if event.kind == "locks":
                held.append(event.of)
            elif event.kind == "unlocks" and event.of in held:
                held.remove(event.of)
            elif event.kind in ("waits", "spurious") and held and event.of not in again:
                again[event.of] = held.pop()
            elif event.kind == "woken" and event.of in again:
                held.append(again.pop(event.of))
        return list(dict.fromkeys(held))


def _printed(line: str, who: str) -> str:
    """A line that the program printed: the calls of a history in words."""
    if line.startswith(f"{who} "):  # what the explorer's clients do
        return line.removeprefix(f"{who} ")
    call = re.fullmatch(r"([<>]) (\S+) ([^:]+?)(?:: (.*))?", line)
    if call and call[2] == who:
        return f"calls {call[3]}" if call[1] == ">" else f"{call[3]} returns: {call[4]}"
    return f"prints {line!r}"
