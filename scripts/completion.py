"""Completion for bash and zsh: scripts that start no Python, which would take half a second at each Tab."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from command_lines import COMMAND, DIRECTORY, FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from command_lines import CommandLine, Word

NOTICE = "# Written by scripts/docs.py from the code; do not edit."


def bash_completion(line: CommandLine) -> str:
    """The script for one command, named as the command, as bash-completion looks for it."""
    function = f"_{line.name}"
    words = _spellings(line)
    cases = "".join(_bash_value(option) for option in _all_options(line))
    counted = " index=1" if line.actions or _runs_another(line) else ""
    return f"""# shellcheck shell=bash
{NOTICE}

{function}() {{
	local current=$2 previous=$3 options='{words}'{counted}
	COMPREPLY=()
	# Readline takes --option=value for three words.
	if [[ $current == = ]]; then
		current=
	elif [[ $previous == = ]]; then
		previous=${{COMP_WORDS[COMP_CWORD - 2]}}
	fi
	case $previous in
{cases}	esac
{_bash_arguments(line)}}}

complete -F {function} {line.name}
"""


def _bash_value(option: Word) -> str:
    if not option.value:
        return ""
    reply = _bash_reply(option)
    return f"\t{' | '.join(option.spellings)})\n{reply}\t\treturn\n\t\t;;\n"


def _bash_reply(word: Word) -> str:
    if word.choices:
        return f'\t\tmapfile -t COMPREPLY < <(compgen -W {shlex.quote(" ".join(word.choices))} -- "$current")\n'
    return _bash_files(word.kind[0]) if word.kind in {FILE, DIRECTORY} else ""


def _bash_files(kind: str, indent: str = "\t\t") -> str:
    reply = f'{indent}mapfile -t COMPREPLY < <(compgen -{kind} -- "$current")\n'
    return f"{indent}compopt -o filenames 2>/dev/null\n{reply}"


def _runs_another(line: CommandLine) -> bool:
    return any(word.kind == COMMAND for word in line.arguments)


# Where a command line of another command begins, its own completion goes on; an action has options of its own.
def _bash_arguments(line: CommandLine) -> str:
    before = _bash_other_command(line) if _runs_another(line) else _bash_action(line) if line.actions else ""
    no_action = " || ((index >= COMP_CWORD))" if line.actions else ""
    options = f"""	if [[ $current == -* ]]{no_action}; then
		mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current")
		return
	fi
"""
    kinds = {word.kind for each in (line, *line.actions) for word in each.arguments}
    if COMMAND in kinds:
        return f'{before}{options}\tmapfile -t COMPREPLY < <(compgen -c -- "$current")\n'
    return before + options + (_bash_files("f", "\t") if FILE in kinds or DIRECTORY in kinds else "")


def _bash_other_command(line: CommandLine) -> str:
    taking = " | ".join(spelling for each in line.options if each.value for spelling in each.spellings)
    skip = f"\t\t{taking}) index=$((index + 1)) ;;\n" if taking else ""
    return f"""	while ((index < COMP_CWORD)); do
		case ${{COMP_WORDS[index]}} in
{skip}		--)
			index=$((index + 1))
			break
			;;
		-* | =) ;;
		*) break ;;
		esac
		index=$((index + 1))
	done
	if ((index < COMP_CWORD)); then
		if declare -F _command_offset >/dev/null; then
			_command_offset "$index"
		else
			compopt -o filenames 2>/dev/null
			mapfile -t COMPREPLY < <(compgen -f -- "$current")
		fi
		return
	fi
"""


def _bash_action(line: CommandLine) -> str:
    cases = "".join(
        f"\t\t{action.name})\n\t\t\toptions='{_spellings(action)}'\n\t\t\tbreak\n\t\t\t;;\n" for action in line.actions
    )
    names = " ".join(action.name for action in line.actions)
    return f"""	if [[ $current == -* ]]; then
		options+=' {names}'
	else
		options='{names}'
	fi
	while ((index < COMP_CWORD)); do
		case ${{COMP_WORDS[index]}} in
{cases}		esac
		index=$((index + 1))
	done
"""


def _spellings(line: CommandLine) -> str:
    return " ".join(spelling for each in line.options for spelling in each.spellings)


def _all_options(line: CommandLine) -> Iterable[Word]:
    """Those of the actions too, each set of spellings once; of two, the one whose value a shell can offer."""
    found: dict[tuple[str, ...], Word] = {}
    for option in (option for each in (line, *line.actions) for option in each.options):
        if not found.get(option.spellings, option).kind:
            found[option.spellings] = option
        found.setdefault(option.spellings, option)
    return found.values()


def zsh_completion(line: CommandLine) -> str:
    """The function for one command, as zsh's compinit finds it by its first line."""
    if not line.actions:
        return f"#compdef {line.name}\n{NOTICE}\n\n{_zsh_arguments(line, '')}"
    cases = "".join(f"\t{action.name})\n{_zsh_arguments(action, chr(9) * 2)}\t\t;;\n" for action in line.actions)
    described = "".join(
        "\t\t" + shlex.quote(f"{action.name}:{_plain(action.summary)}") + "\n" for action in line.actions
    )
    return f"""#compdef {line.name}
{NOTICE}

local curcontext=$curcontext state line
local -a actions
_arguments -C \\
{_zsh_options(line.options, chr(9))}	'1: :->action' \\
	'*:: :->rest'
case $state in
action)
	actions=(
{described}	)
	_describe action actions
	;;
rest)
	case $words[1] in
{cases}	esac
	;;
esac
"""


def _zsh_arguments(line: CommandLine, indent: str) -> str:
    words = [_zsh_argument(word) for word in line.arguments]
    lines = [*(_zsh_option(option) for option in line.options), *words]
    return f"{indent}_arguments -s \\\n" + " \\\n".join(f"{indent}\t{each}" for each in lines) + "\n"


def _zsh_options(options: Iterable[Word], indent: str) -> str:
    return "".join(f"{indent}{_zsh_option(option)} \\\n" for option in options)


# Each may be given again: which ones may not, the command knows and says.
def _zsh_option(option: Word) -> str:
    text = _plain(option.help).replace("[", "\\[").replace("]", "\\]")
    value = f":{_plain(option.value)}:{_zsh_action(option)}" if option.value else ""
    named = [f"{spelling}{'=' if value and spelling.startswith('--') else ''}" for spelling in option.spellings]
    tail = shlex.quote(f"[{text}]{value}")
    return f"'*'{named[0]}{tail}" if len(named) == 1 else "'*'{" + ",".join(named) + "}" + tail


def _zsh_argument(word: Word) -> str:
    if word.kind == COMMAND:
        return "'*:::command:_normal'"
    many = "*" if word.many else ""
    optional = "" if word.needed or many else ":"
    return shlex.quote(f"{many}:{optional}{_plain(word.value)}:{_zsh_action(word)}")


def _zsh_action(word: Word) -> str:
    if word.choices:
        return f"({' '.join(word.choices)})"
    return {FILE: "_files", DIRECTORY: "_files -/"}.get(word.kind, " ")


def _plain(text: str) -> str:
    return " ".join(text.split()).replace(":", ";").replace("`", "").replace("'", "")
