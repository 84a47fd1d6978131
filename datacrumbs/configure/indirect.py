"""Indirect functions that providers and site files name: their implementations here, or why they are left out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.elf.functions import elf_functions
from datacrumbs.elf.ifuncs import resolve_ifuncs
from datacrumbs.output import counted, first_few
from datacrumbs.provider import Attach

if TYPE_CHECKING:
    from collections.abc import Iterable

    from datacrumbs.provider import Function, ProbeTarget


@dataclass(frozen=True, slots=True)
class Known:
    """What a provider knows in a target: functions that can be probed, and others with the reason why not."""

    functions: tuple[Function, ...]
    refused: tuple[tuple[Function, str], ...] = ()


def with_implementations(target: ProbeTarget, functions: tuple[Function, ...], root: Path) -> Known:
    """A provider's functions, the indirect ones at the places of their implementations on this machine.

    A table of names says nothing of how a library defines them. Each program calls a resolver once, at most.

    Args:
        target: Where they are.
        functions: What the provider knows.
        root: Root directory of the programs that load it.
    """
    if target.attach is not Attach.UPROBE or not functions:
        return Known(functions)
    path = target.target.path
    defined = elf_functions(path) if Path(path).exists() else ()
    resolvers = {each.offset: each for each in defined if each.ifunc}
    named = {each.offset: resolvers[each.offset] for each in functions if each.offset in resolvers}
    if not named:
        return Known(functions)
    resolution = resolve_ifuncs(path, [*named.values(), *(each for each in defined if not each.ifunc)], root)
    found = {name: each for each in resolution.functions for name in (each.name, *each.aliases)}
    kept: list[Function] = []
    refused: list[tuple[Function, str]] = []
    for function in functions:
        indirect = named.get(function.offset)
        if indirect is None:
            kept.append(function)
        elif indirect.name in resolution.refused:
            refused.append((function, resolution.refused[indirect.name]))
        else:
            there = found[indirect.name]
            aliases = {*function.aliases, there.name, *there.aliases} - {function.symbol}
            kept.append(replace(function, offset=there.offset, aliases=tuple(sorted(aliases))))
    return Known(tuple(kept), tuple(refused))


def refusals(refused: Iterable[tuple[str, str]], path: str) -> tuple[str, ...]:
    """A note for each reason for which indirect functions of a file are left out, from pairs of name and reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in refused:
        reasons.setdefault(reason, []).append(name)
    return tuple(
        f"{path}: {counted(len(names), 'indirect function is', 'indirect functions are')} left out "
        f"({first_few(sorted(names))}): {reason}"
        for reason, names in reasons.items()
    )
