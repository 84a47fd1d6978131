"""What each command takes, as data: reference pages, manual pages and completions are all made from it.

The registry of the package is where it comes from; the launcher, which is C, says it by ``--help``.
"""

from __future__ import annotations

import argparse
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datacrumbs import client
from datacrumbs.commands._registry import COMMANDS, command_named

if TYPE_CHECKING:
    from collections.abc import Iterator

    from datacrumbs.commands._command import Command

FILE, DIRECTORY, COMMAND, WORD = "file", "directory", "command", ""
"""What a shell can offer as a value."""
_FILES = re.compile(r"FILE|PEM|EXE|SEAL|TRACE|SITE\.yaml|OUT\.json\.gz|PROBES")
_LAUNCHER = "datacrumbs_wrap"
_LAUNCHER_OPTION = re.compile(r"^  (--[\w-]+)(?: ([A-Z]+))? {2,}(.*(?:\n {10,}.*)*)", re.MULTILINE)
_LAUNCHER_OWN = (("-h", "--help"), "", "show this help message and exit"), (("--version",), "", "show the version")


@dataclass(frozen=True, slots=True)
class Word:
    """An option with its value, or an argument without a name.

    Args:
        spellings: Of an option; none for an argument.
        value: What the value is called; empty for an option without one.
        help: One or more sentences.
        choices: All that the value may be, if that is known.
        kind: What a shell offers as a value.
        needed: Whether it must be given.
        many: Whether the argument may be given again.
    """

    spellings: tuple[str, ...]
    value: str
    help: str
    choices: tuple[str, ...] = ()
    kind: str = WORD
    needed: bool = False
    many: bool = False

    @property
    def usage(self) -> str:
        """As in a line of usage."""
        text = " ".join(filter(None, (*self.spellings[:1], self.value)))
        if self.many:
            text = f"{text} [{text} ...]"
        return text if self.needed else f"[{text}]"

    @property
    def shown(self) -> str:
        """All spellings, each with the value."""
        return ", ".join(" ".join(filter(None, (each, self.value))) for each in self.spellings) or self.value


@dataclass(frozen=True, slots=True)
class CommandLine:
    """A command, or an action of one.

    Args:
        name: As it is typed.
        section: Of the manual.
        summary: One sentence.
        description: All sentences of ``--help``, the summary among them.
        words: Options, then arguments.
        actions: By name, where there are any.
        examples: Command lines.
        exit_status: What differs from the table that all commands share.
    """

    name: str
    section: int
    summary: str
    description: str
    words: tuple[Word, ...]
    actions: tuple[CommandLine, ...] = ()
    examples: tuple[str, ...] = ()
    exit_status: tuple[tuple[str, str], ...] = ()

    @property
    def options(self) -> tuple[Word, ...]:
        """Those that begin with a dash."""
        return tuple(word for word in self.words if word.spellings)

    @property
    def arguments(self) -> tuple[Word, ...]:
        """The others."""
        return tuple(word for word in self.words if not word.spellings)


def command_lines() -> list[CommandLine]:
    """All commands, sorted by name."""
    found = [_declared(command_named(name)) for name in COMMANDS]
    return sorted([*found, _launcher()], key=lambda line: line.name)


def _declared(command: Command) -> CommandLine:
    parser = command.parser()
    return CommandLine(
        command.program,
        command.section,
        command.summary,
        parser.description or "",
        _words(parser),
        tuple(_action(name, made) for name, made in _sub_parsers(parser)),
        command.examples,
    )


def _action(name: str, parser: argparse.ArgumentParser) -> CommandLine:
    description = parser.description or ""
    return CommandLine(name, 0, description, description, _words(parser))


def _sub_parsers(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001 - argparse has no public way to list them
        if isinstance(action.choices, dict):
            yield from action.choices.items()


def _words(parser: argparse.ArgumentParser) -> tuple[Word, ...]:
    actions = [action for action in parser._actions if not isinstance(action.choices, dict)]  # noqa: SLF001
    return tuple(map(_word, sorted(actions, key=lambda action: not action.option_strings)))


def _word(action: argparse.Action) -> Word:
    named = bool(action.option_strings)
    needed = action.required if named else action.nargs not in {"?", "*"}
    return Word(
        tuple(action.option_strings),
        "" if action.nargs == 0 else _value(action),
        (action.help or "").replace("%(default)s", str(action.default)),
        tuple(map(str, action.choices or ())),
        _kind(action),
        needed,
        action.nargs in {"+", "*"} and not named,
    )


def _value(action: argparse.Action) -> str:
    if action.metavar is not None:
        return str(action.metavar)
    if action.choices is not None:
        return "{" + ",".join(map(str, action.choices)) + "}"
    return action.dest.upper() if action.option_strings else action.dest


def _kind(action: Any) -> str:
    if action.nargs == argparse.REMAINDER:
        return COMMAND
    if action.metavar == "DIR":
        return DIRECTORY
    return FILE if action.type is Path or _FILES.fullmatch(str(action.metavar)) else WORD


def _launcher() -> CommandLine:
    text = subprocess.run([client.launcher(), "--help"], check=True, capture_output=True, text=True).stdout
    _, description, *blocks = text.strip().split("\n\n")
    named = {block.split(":\n")[0]: block.partition(":\n")[2] for block in blocks}
    found = [((name,), value, " ".join(help_.split())) for name, value, help_ in _LAUNCHER_OPTION.findall(text)]
    statuses = [line.split(maxsplit=1) for line in named["exit status"].splitlines()]
    words = [Word(*each) for each in (*_LAUNCHER_OWN, *found)]
    return CommandLine(
        _LAUNCHER,
        1,
        description.replace("\n", " ").split(". ")[0].rstrip(".") + ".",
        description.replace("\n", " "),
        (
            *words,
            Word(
                (), "CMD ARG...", "the command; put -- before it if it looks like an option", kind=COMMAND, needed=True
            ),
        ),
        (),
        tuple(line.strip() for line in named["example"].splitlines()),
        tuple((status, meaning) for status, meaning in statuses),
    )
