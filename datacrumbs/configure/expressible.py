"""Functions made such that a probe file can carry them.

Names and types come from files that other compilers and languages made. What the probe file's rules do not allow
(they keep out what could end a C comment or a line of a log) costs the name, the type or at worst the function, never
the plan.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING

from datacrumbs.model.plan import UsdtPlace
from datacrumbs.model.rules import ALIAS_LIMIT, rule
from datacrumbs.output import counted, first_few
from datacrumbs.probefile.codec import function_problem
from datacrumbs.provider import Argument, Attach, Function

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from datacrumbs.configure.candidates import Candidate

_SHOWN_CHARACTERS = 60
_INTEGERS = {1: "char", 2: "short", 4: "int", 8: "long"}
_IS_NAME = rule(Function, "name").allows
_ARE_OPERANDS = rule(UsdtPlace, "arguments").allows


def expressible(candidates: Iterable[Candidate], note: Callable[[str], None]) -> list[Candidate]:
    """The candidates that a probe file can carry.

    A function whose symbol it cannot carry goes by another one of its names. Further names that it cannot carry are
    dropped, and types are given as C's plain ones.

    Args:
        candidates: One for each place.
        note: Takes a line for each kind of thing that is left out.
    """
    kept = []
    changed: dict[str, list[str]] = defaultdict(list)
    for candidate in candidates:
        function, changes = _carried(candidate.function, candidate.attach)
        symbol = candidate.function.symbol if function is None else function.symbol
        for change in changes:
            changed[change].append(_short(symbol))
        if function is not None:
            kept.append(candidate if function is candidate.function else replace(candidate, function=function))
    for change, symbols in sorted(changed.items()):
        note(f"{change.format(functions=counted(len(symbols), 'function'))} ({first_few(sorted(symbols))})")
    return kept


def _carried(function: Function, attach: Attach) -> tuple[Function | None, list[str]]:
    # The function as it can be carried, or None, and what was changed.
    changes: list[str] = []
    made = function
    if not all(map(_IS_NAME, (function.name, function.symbol, *function.aliases))):
        named = _named(function, attach)
        if named is None:
            return None, ["{functions} left out: a probe file cannot carry such a name"]
        changes.append("{functions} without some of the names: a probe file cannot carry them")
        made = named
    if len(made.aliases) > ALIAS_LIMIT:
        made = replace(made, aliases=made.aliases[:ALIAS_LIMIT])
        changes.append(f"{{functions}} with only {ALIAS_LIMIT} of the names")
    if not all(_is_type(argument.ctype) for argument in made.arguments):
        made = replace(made, arguments=tuple(map(_typed, made.arguments)))
        changes.append("{functions} with plain types of arguments: a probe file cannot carry all of their own")
    usdt = attach is Attach.USDT
    if usdt and not all(_ARE_OPERANDS(place.arguments) for place in made.usdt_places):
        places = tuple(replace(place, arguments="") for place in made.more_places)
        made = replace(made, usdt_arguments="", more_places=places, arguments=())
        changes.append("{functions} without arguments: a probe file cannot carry where they are")
    # The rest is the configurator's own making, but for a USDT probe's hundreds of places.
    if (changes or usdt) and (problem := function_problem(made, attach)):
        return None, [f"{{functions}} left out: {_short(problem).translate({ord('{'): '{{', ord('}'): '}}'})}"]
    return made, changes


def _named(function: Function, attach: Attach) -> Function | None:
    aliases = tuple(filter(_IS_NAME, function.aliases))
    symbol, name = function.symbol, function.name
    if not rule(Function, "symbol", attach).allows(symbol):
        if attach is not Attach.UPROBE or not aliases:
            return None  # elsewhere the kernel finds the place by this name
        symbol = aliases[0]
        name = symbol if name == function.symbol else name
    if not _IS_NAME(name):
        name = symbol
    return replace(function, name=name, symbol=symbol, aliases=tuple(each for each in aliases if each != symbol))


def _typed(argument: Argument) -> Argument:
    if _is_type(argument.ctype):
        return argument
    if argument.size == 8 and argument.ctype.endswith(("*", "&")):
        return replace(argument, ctype="void *")
    return replace(argument, ctype=plain_type(argument.size, signed=argument.signed))


def plain_type(size: int, *, signed: bool) -> str:
    """C's plain type of a whole number of 1, 2, 4 or 8 bytes."""
    return f"{'' if signed else 'unsigned '}{_INTEGERS[size]}"


# Thousands of arguments have a few types.
@lru_cache(maxsize=4096)
def _is_type(text: str) -> bool:
    return rule(Argument, "ctype").allows(text)


def _short(text: str) -> str:
    # ascii: the text is a stranger's and goes to terminals and logs.
    plain = ascii(text)[1:-1]
    return plain if len(plain) <= _SHOWN_CHARACTERS else f"{plain[:_SHOWN_CHARACTERS]}..."
