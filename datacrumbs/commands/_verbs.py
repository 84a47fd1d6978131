"""``datacrumbs VERB``: the same commands by other names. A first word that is no verb is the daemon's probe file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

from datacrumbs.commands._command import DAEMON
from datacrumbs.commands._main import guarded, main
from datacrumbs.commands._registry import COMMANDS, command_named
from datacrumbs.commands.run import is_for_nodes
from datacrumbs.errors import did_you_mean, usage_error
from datacrumbs.output import begin_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

BEGINNING = """\
sudo datacrumbs record CMD    run CMD, trace it, and print where its I/O time goes
datacrumbs report TRACE       show a trace again: by function, file, process or error
datacrumbs doctor             show what works on this host, and how to fix what does not
datacrumbs help               list all commands
datacrumbs help record        show the options of one command"""
_VERBS = {"probes": "probe_configurator", "sign": "sign_probes"}
"""Verbs that are called otherwise than their command."""
_RUN = "run"
_PREFIX = "--prefix"
_SHARED = {_PREFIX, "-q", "--quiet", "-v", "--verbose"}
_FOR_ALL = (["help"], ["help", "help"], ["help", "-h"], ["help", "--help"])
_JOINING = dict.fromkeys(map(ord, "-_"))
ACTIONS_OF_PROBES = {"make": (), "show": ("--show",), "list": ("--list",), "check": ("--check",)}
"""What follows ``probes``, for options of its command."""


def verbs() -> dict[str, str]:
    """Each verb with the name of its command; ``help`` has none, and that of ``run`` is for ``--node-list`` alone."""
    spelled = {name: verb for verb, name in _VERBS.items()}
    return {spelled.get(name, name): name for name in COMMANDS}


def run(words: Sequence[str], begun: Callable[[], None]) -> int:
    """Do what the command line of ``datacrumbs`` says; gives the exit status.

    Args:
        words: Without the program's name.
        begun: As for `main`.
    """
    begin_messages("datacrumbs")
    if not words:
        return _printed(lambda: BEGINNING)
    words = _verb_first(words)
    first, rest = words[0], list(words[1:])
    if first in {"-h", "--help"} or list(words) in _FOR_ALL:
        return _printed(_overview)
    if first == "help":
        return guarded(lambda: _help(rest[0], begun))
    if first == _RUN and not is_for_nodes(rest):
        from datacrumbs.commands._launcher import wrap

        return guarded(lambda: wrap(rest))
    if first not in verbs():
        is_mistake = _is_word(first)
        return guarded(lambda: _unknown(first)) if is_mistake else main(command_named(DAEMON), words, begun)
    if first == "probes" and rest and rest[0] in ACTIONS_OF_PROBES:
        rest = [*ACTIONS_OF_PROBES[rest[0]], *rest[1:]]
    return main(command_named(verbs()[first]), rest, begun, _called(first))


# What all commands share may be given before the verb, too; behind it, and behind an action of probes, is its place.
def _verb_first(words: Sequence[str]) -> list[str]:
    following = list(words)
    shared: list[str] = []
    while following and following[0].split("=")[0] in _SHARED:
        taken = 2 if following[0] == _PREFIX else 1
        shared, following = shared + following[:taken], following[taken:]
    if not following or following[0] not in {*verbs(), _RUN, "help"}:
        return list(words)
    if following[0] == "help":
        return following
    place = 2 if following[:1] == ["probes"] and following[1:2] and following[1] in ACTIONS_OF_PROBES else 1
    return [*following[:place], *shared, *following[place:]]


def _printed(text: Callable[[], str]) -> int:
    return guarded(lambda: print(text(), flush=True))


def _help(verb: str, begun: Callable[[], None]) -> int:
    if verb == _RUN:
        from datacrumbs.commands._launcher import wrap

        wrap(["--help"])
    if verb not in verbs():
        _unknown(verb)
    return main(command_named(verbs()[verb]), ["--help"], begun, _called(verb))


def _called(verb: str) -> str:
    return "" if verb == DAEMON else f"datacrumbs {verb}"


# No path and no option, but what might be a command with a mistake in it.
def _is_word(text: str) -> bool:
    return text.translate(_JOINING).isalnum() and text[0].isalpha() and not os.path.lexists(text)


def _unknown(verb: str) -> NoReturn:
    known = did_you_mean(verb, (*verbs(), _RUN))
    raise usage_error(f"{verb!r} is neither a command nor a probe file{known}", "datacrumbs help lists the commands")


def _overview() -> str:
    named = {verb: command_named(name).summary for verb, name in verbs().items()}
    named[_RUN] = "Run a command so that a running daemon traces it: datacrumbs_wrap; with --node-list: datacrumbs_run."
    named["help"] = "Show the options of a command: datacrumbs help record."
    width = max(map(len, named)) + 2
    lines = [f"  {verb:{width}}{summary}" for verb, summary in sorted(named.items())]
    return "\n".join(
        [
            "usage: datacrumbs COMMAND [OPTION...]",
            "       datacrumbs PROBES [RUN-ID]     (the same as datacrumbs daemon PROBES [RUN-ID])",
            "",
            "commands:",
            *lines,
            "",
            "Give a probe file with the name of a command as ./NAME.",
            "",
            "example:",
            "  sudo datacrumbs record dd if=/dev/zero of=/tmp/out.bin bs=1M count=1",
        ]
    )
