"""Completion of ``datacrumbs VERB``: the verbs, and behind one what its command's own completion offers."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from datacrumbs.commands._node_options import NODE_LIST
from datacrumbs.commands._registry import command_named
from datacrumbs.commands._verbs import ACTIONS_OF_PROBES, verbs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from command_lines import CommandLine

MAIN = "datacrumbs"
_LAUNCHER, _ON_NODES = "datacrumbs_wrap", "datacrumbs_run"
_OTHER_THAN_COMMANDS = {"run": _LAUNCHER}


def _commands() -> dict[str, str]:
    found = {verb: command_named(name).program for verb, name in verbs().items()}
    return dict(sorted({**found, **_OTHER_THAN_COMMANDS}.items()))


def bash_verbs(script: str) -> str:
    """The script of ``datacrumbs``, with verbs before what it offers."""
    by_command: dict[str, list[str]] = {}
    for verb, command in _commands().items():
        if command != MAIN:
            by_command.setdefault(command, []).append(verb)
    cases = "".join(f"\t{' | '.join(each)}) command={command} ;;\n" for command, each in by_command.items())
    names = " ".join((*_commands(), "help"))
    head, rest = script.split("\tCOMPREPLY=()\n", 1)
    arguments, end = rest.rsplit("\tcompopt -o filenames", 1)
    offered = f"\tif ((COMP_CWORD == 1)); then\n\t\tmapfile -t verbs < <(compgen -W '{names}' -- \"$current\")\n\tfi\n"
    reply = end.replace("\n}\n", '\n\tCOMPREPLY+=("${verbs[@]}")\n}\n', 1)
    return rf"""{head.replace("local ", "local command='' line verbs=() ", 1)}	COMPREPLY=()
	case ${{COMP_WORDS[1]}} in
{cases}	help)
		((COMP_CWORD == 1)) && COMPREPLY=(help)
		((COMP_CWORD == 2)) && mapfile -t COMPREPLY < <(compgen -W '{names}' -- "$current")
		return
		;;
	esac
	if [[ $command == {_LAUNCHER} ]]; then
		[[ " ${{COMP_WORDS[*]:2}} " == *' {NODE_LIST}'[\ =]* ]] && command={_ON_NODES}
		((COMP_CWORD == 2)) && [[ $current == -* ]] && mapfile -t verbs < <(compgen -W '{NODE_LIST}' -- "$current")
	fi
	if ((COMP_CWORD > 1)) && [[ -n $command ]]; then
		if ((COMP_CWORD == 2)) && [[ ${{COMP_WORDS[1]}} == probes ]]; then
			mapfile -t verbs < <(compgen -W '{" ".join(ACTIONS_OF_PROBES)}' -- "$current")
		fi
		# shellcheck source=/dev/null
		declare -F "_$command" >/dev/null || source "${{BASH_SOURCE[0]%/*}}/$command"
		line=${{COMP_LINE#*"${{COMP_WORDS[0]}}"}}
		line=$command${{line#*"${{COMP_WORDS[1]}}"}}
		COMP_POINT=$((COMP_POINT - ${{#COMP_LINE}} + ${{#line}}))
		COMP_LINE=$line
		COMP_WORDS=("$command" "${{COMP_WORDS[@]:2}}")
		COMP_CWORD=$((COMP_CWORD - 1))
		"_$command" "$command" "$current" "$previous"
		COMPREPLY+=("${{verbs[@]}}")
		return
	fi
{arguments}{offered}	compopt -o filenames{reply}"""


def zsh_verbs(script: str, lines: Mapping[str, CommandLine]) -> str:
    """The function of ``datacrumbs``, likewise."""
    commands = _commands()
    described = [f"{verb}:{lines[command].summary.replace(':', ';')}" for verb, command in commands.items()]
    quoted = "".join(f"\t{shlex.quote(each)}\n" for each in [*described, "help:Show the options of a command."])
    spelled = {**commands, "run": f"${{${{words[(r){NODE_LIST}*]:+{_ON_NODES}}}:-{_LAUNCHER}}}"}
    cases = "".join(f"\t{verb}) words[1]={command} ;;\n" for verb, command in spelled.items() if command != MAIN)
    head, body = script.split("\n\n", 1)
    return f"""{head}

local -a verbs
verbs=(
{quoted})
if ((CURRENT > 2)) && [[ -n ${{verbs[(r)$words[2]:*]}} && $words[2] != (daemon|help) ]]; then
	shift words
	((CURRENT--))
	case $words[1] in
{cases}	esac
	_normal
	return
fi
if ((CURRENT == 2)) || [[ $words[2] == help ]]; then
	_describe command verbs
	[[ $words[2] == help ]] && return
fi
{body}"""
