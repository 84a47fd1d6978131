"""Manual pages, in the macros of man(7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from datacrumbs import __version__
from datacrumbs.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from command_lines import CommandLine, Word

DATE = "2026-11-28"
"""Of the manual, not of the day on which somebody builds it."""
ENVIRONMENT = (("DATACRUMBS_PREFIX", "the installation that is used where --prefix is not given"),)
FILES = (
    ("/etc/datacrumbs/", "configuration, keys, trust and policy"),
    ("/run/datacrumbs/", "sockets, environment files and ready files of runs"),
    ("/var/log/datacrumbs/", "traces"),
)


def man_page(line: CommandLine, others: Iterable[CommandLine]) -> str:
    """The page of a command.

    Args:
        line: The command.
        others: All commands, for the last section.
    """
    parts = [
        '.\\" Written by scripts/docs.py from the code; do not edit.',
        f'.TH {line.name.upper()} {line.section} {DATE} "DataCrumbs {__version__}" "DataCrumbs"',
        ".SH NAME",
        f"{_text(line.name)} \\- {_text(_as_name(line.summary))}",
        ".SH SYNOPSIS",
        *_synopsis(line),
        ".SH DESCRIPTION",
        *_paragraphs(line.description),
        *_words(".SH ARGUMENTS", line.arguments),
        *_words(".SH OPTIONS", line.options),
    ]
    if line.actions:
        parts.append(".SH ACTIONS")
        for action in line.actions:
            parts += [".SS " + _text(action.name), *_paragraphs(action.description)]
            parts += _words("", (*action.arguments, *(word for word in action.options if word not in line.options)))
    parts += [".SH EXIT STATUS", *_statuses(line)]
    if line.name != "datacrumbs_wrap":
        parts += [".SH ENVIRONMENT", *_list(ENVIRONMENT), ".SH FILES", *_list(FILES)]
    parts += [".SH EXAMPLES", *_examples(line.examples)]
    other = sorted({f"{_text(each.name)}({each.section})" for each in others if each.name != line.name})
    parts += [".SH SEE ALSO", *(f".BR {name.replace('(', ' (')}," for name in other[:-1])]
    parts += [f".BR {name.replace('(', ' (')}" for name in other[-1:]]
    return "\n".join(parts) + "\n"


# What begins a line with a dot or a quote would be a macro; a dash is a minus that can be copied.
def _text(text: str) -> str:
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "")
    return f"\\&{escaped}" if escaped.startswith((".", "'")) else escaped


def _as_name(summary: str) -> str:
    first = summary.split(". ", maxsplit=1)[0].rstrip(".")
    return first[:1].lower() + first[1:]


def _paragraphs(text: str) -> Iterator[str]:
    for number, paragraph in enumerate(filter(None, text.split("\n"))):
        if number:
            yield ".PP"
        yield from map(_text, re.split(r"(?<=[.!?:]) +(?=[A-Z])", paragraph))


def _synopsis(line: CommandLine) -> Iterator[str]:
    yield f".B {_text(line.name)}"
    if line.actions:
        yield _text("[OPTION]... ACTION [OPTION]...")
    yield from (_text(word.usage) for word in line.words if not line.actions or not word.spellings)


def _words(heading: str, words: Iterable[Word]) -> list[str]:
    rows = list(_list((word.shown, word.help) for word in words))
    return [*filter(None, (heading,)), *rows] if rows else []


def _list(rows: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in rows:
        yield from (".TP", f".B {_quoted(term)}", _text(" ".join(meaning.split()) or "no description"))


def _quoted(term: str) -> str:
    return '"' + _text(term).replace('"', "\\(dq") + '"'


def _statuses(line: CommandLine) -> Iterator[str]:
    shared = [(str(int(status)), status.meaning) for status in ExitCode]
    return _list(line.exit_status or shared)


def _examples(examples: Iterable[str]) -> Iterator[str]:
    for number, example in enumerate(examples):
        if number:
            yield ".PP"
        yield from (".nf", ".RS", _text(example), ".RE", ".fi")
