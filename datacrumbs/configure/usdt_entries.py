"""USDT probes that an entry of a site file selects, turned into functions."""

from __future__ import annotations

import platform
from dataclasses import replace
from typing import TYPE_CHECKING

from datacrumbs.configure.expressible import plain_type
from datacrumbs.elf.operands import Operand, UnknownOperand, parse_operands
from datacrumbs.model.plan import UsdtPlace
from datacrumbs.provider import ARGUMENT_LIMIT, Argument, Function, Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from datacrumbs.elf.usdt import UsdtProbe

_END_OF = {"__entry": "__return", "__start": "__done", "_entry": "_return", "_start": "_done"}


def usdt_functions(
    probes: Iterable[UsdtProbe], category: str, note: Callable[[str], None], named: Sequence[Argument] = ()
) -> list[Function]:
    """One function for each probe; two that mark the beginning and the end of one thing become one call.

    Args:
        probes: Those that the entry selects.
        category: Of the functions.
        note: Takes a line for each argument that cannot be read.
        named: What the arguments are, and which of them to capture; empty for the first ones as numbers.
    """
    by_name: dict[tuple[str, str], list[UsdtProbe]] = {}
    for probe in probes:
        by_name.setdefault((probe.provider, probe.name), []).append(probe)
    ends: dict[tuple[str, str], tuple[tuple[str, str], str]] = {}
    for provider, name in by_name:
        for begin, end in _END_OF.items():
            key = (provider, name.removesuffix(begin) + end)
            if name.endswith(begin) and key in by_name:
                ends.setdefault((provider, name), (key, name.removesuffix(begin)))
    paired = {key for key, _ in ends.values()}
    functions = []
    for key, same in sorted(by_name.items()):
        if key in paired:
            continue
        end_key, shown = ends.get(key, (None, key[1]))
        first, *more = _places(same)
        notes: list[str] = []
        function = Function(
            shown,
            ":".join(key),
            category,
            offset=first.offset,
            more_places=tuple(more),
            return_places=tuple(replace(place, arguments="") for place in _places(by_name[end_key] if end_key else ())),
            arguments=_arguments([probe.arguments for probe in same], named, notes.append),
            result=Result.VOID,
            usdt_arguments=first.arguments,
            semaphore=first.semaphore,
        )
        functions.append(function)
        for text in notes:
            note(f"{function.symbol}: {text}")
    return functions


def _places(probes: Iterable[UsdtProbe]) -> list[UsdtPlace]:
    places = [UsdtPlace(at, probe.semaphore, probe.arguments) for probe in probes for at in probe.locations]
    return sorted(places, key=lambda place: place.offset)


# A note has neither names nor types of arguments. One that cannot be read at one of the places is left out, since it
# would look like zero there.
def _arguments(formats: Sequence[str], named: Sequence[Argument], note: Callable[[str], None]) -> tuple[Argument, ...]:
    lists = [parse_operands(text, platform.machine()) for text in formats]
    most = max(len(operands) for operands in lists)
    wanted = named or [Argument(index, f"argument{index}", "") for index in range(min(most, ARGUMENT_LIMIT))]
    if most > ARGUMENT_LIMIT and not named:
        are = "is" if most - ARGUMENT_LIMIT == 1 else "are"
        note(f"{most - ARGUMENT_LIMIT} of {most} arguments {are} left out; at most {ARGUMENT_LIMIT} are captured")
    arguments = []
    for argument in wanted:
        at = argument.index
        operands = [each[at] if at < len(each) else UnknownOperand("it", "is not at every place") for each in lists]
        known = [operand for operand in operands if isinstance(operand, Operand)]
        if len(known) == len(operands):
            arguments.append(_sized(argument, known))
            continue
        missing = next(operand for operand in operands if isinstance(operand, UnknownOperand))
        note(f"argument {at} is left out: {missing.text} {missing.reason}")
    return tuple(arguments)


def _sized(argument: Argument, operands: Sequence[Operand]) -> Argument:
    forms = {(operand.size, operand.signed) for operand in operands}
    size, signed = forms.pop() if len(forms) == 1 else (8, any(signed for _, signed in forms))
    return replace(argument, ctype=argument.ctype or plain_type(size, signed=signed), size=size, signed=signed)
