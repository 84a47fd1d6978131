"""The command lines of ``sbatch``, ``salloc`` and ``srun``: where their own options end, and the comment among them.

From their manuals and help (Slurm 22.05 to 25.11). Only options that take no word of their own are listed: of every
other one the next word is the value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

COMMENT = "--comment"
_OWN = "--datacrumbs-"
ENABLE, PROBE_FILE = f"{_OWN}enable", f"{_OWN}probe-file"
"""Our own, which none of the commands knows."""
_SHORTEST_COMMENT = len("--comm")  # getopt takes a beginning that no other option has
_COMPONENT = ":"
_SHARED = (
    "datacrumbs-enable contiguous exclusive get-user-env help hold immediate nice no-kill overcommit oversubscribe "
    "propagate quiet reboot share spread-job stepmgr usage use-min-nodes verbose version"
)


@dataclass(frozen=True, slots=True)
class SlurmCommand:
    """One of the commands.

    Args:
        name: What it is called.
        flags: Long options whose next word is not theirs: without a value, or with one behind ``=`` only.
        letters: Short options without a value.
        attached: Short options whose value follows in the same word or not at all.
    """

    name: str
    flags: frozenset[str]
    letters: str
    attached: str


SBATCH = SlurmCommand(
    "sbatch",
    frozenset(f"{_SHARED} ignore-pbs no-requeue parsable requeue test-only wait".split()),
    "hHOQsuvVW",
    "kI",
)
SALLOC = SlurmCommand("salloc", frozenset(f"{_SHARED} bell kill-command no-bell no-shell".split()), "hHOQsuvV", "kIK")
SRUN = SlurmCommand(
    "srun",
    frozenset(
        f"{_SHARED} compress debugger-test disable-status exact external-launcher kill-on-bad-exit label multi-prog "
        "no-allocate overlap preserve-env pty quit-on-interrupt resv-ports send-libs test-only unbuffered whole".split()
    ),
    "EhHlOQsuvVXZ",
    "kIK",
)
COMMANDS = {command.name: command for command in (SBATCH, SALLOC, SRUN)}


@dataclass(frozen=True, slots=True)
class SlurmOption:
    """An option of a command line.

    Args:
        name: With its dashes.
        value: What it is given; None for nothing.
        begin: Index of its first word.
        end: Index behind its last word.
    """

    name: str
    value: str | None
    begin: int
    end: int

    @property
    def is_comment(self) -> bool:
        """Whether it is the job's comment, spelled out or cut short."""
        return len(self.name) >= _SHORTEST_COMMENT and COMMENT.startswith(self.name)


@dataclass(frozen=True, slots=True)
class Component:
    """The options of one component of a job; most jobs have one.

    Args:
        options: In their order.
        begin: Index of its first word.
        end: Index behind its options: of the program, of ``:`` or behind the last word.
    """

    options: tuple[SlurmOption, ...]
    begin: int
    end: int

    @property
    def comment(self) -> SlurmOption | None:
        """The comment that holds: the last one."""
        return next((option for option in reversed(self.options) if option.is_comment), None)

    def has(self, name: str) -> bool:
        """Whether an option is given."""
        return any(option.name == name for option in self.options)


def components(command: SlurmCommand, words: Sequence[str]) -> list[Component]:
    """The options of a command line, by component, without those of the program that it runs.

    Args:
        command: Whose command line it is.
        words: Without the command itself.
    """
    found, begin = [], 0
    while True:
        options = tuple(_options(command, words, begin))
        end = options[-1].end if options else begin
        found.append(Component(options, begin, end))
        if end >= len(words) or words[end] != _COMPONENT:
            return found
        begin = end + 1


def without_own(command: SlurmCommand, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """A command line taken apart: our own options, and the rest as it is."""
    own: list[str] = []
    rest = list(words)
    found = [option for component in components(command, words) for option in component.options]
    for option in reversed(found):
        if option.name.startswith(_OWN):
            own[:0] = words[option.begin : option.end]
            del rest[option.begin : option.end]
    return own, rest


def _options(command: SlurmCommand, words: Sequence[str], begin: int) -> Iterator[SlurmOption]:
    while begin < len(words) and words[begin].startswith("-") and words[begin] not in {"-", "--"}:
        word = words[begin]
        name, equals, value = word.partition("=") if word.startswith("--") else _short(command, word)
        takes_next = not equals and name and name.removeprefix("--") not in command.flags
        end = min(begin + 1 + bool(takes_next), len(words))
        given = words[begin + 1] if end == begin + 2 else None
        yield SlurmOption(name, value if equals else given, begin, end)
        begin = end


# Of a word of short options the last one, its value if it has one in the word, and no name where none is to come.
def _short(command: SlurmCommand, word: str) -> tuple[str, str, str]:
    for place, letter in enumerate(word[1:], 1):
        if letter in command.attached:
            return f"-{letter}", "=", word[place + 1 :]
        if letter not in command.letters:
            rest = word[place + 1 :]
            return (f"-{letter}", "=", rest) if rest else (f"-{letter}", "", "")
    return "", "", ""
