"""Library probes, put where they do no harm and cost least."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.analysis_cache import cached
from datacrumbs.configure.candidates import changed
from datacrumbs.elf.build_id import file_state
from datacrumbs.elf.execution import Refusal
from datacrumbs.output import counted
from datacrumbs.provider import Attach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from datacrumbs.configure.candidates import Candidate
    from datacrumbs.provider import Function, Target

_SHOWN = 8


def place_probes(candidates: Iterable[Candidate], note: Callable[[str], None], *, move: bool) -> tuple[Candidate, ...]:
    """Leave out the functions that cannot be probed without harm, and put the other probes where they cost least.

    Args:
        candidates: One for each place.
        note: Takes a line for each reason for which functions of a file are left out.
        move: Whether probes may be moved past their functions' first instructions.
    """
    candidates = tuple(candidates)
    files: dict[Target, list[Candidate]] = defaultdict(list)
    for each in candidates:
        if each.attach in {Attach.UPROBE, Attach.USDT}:
            files[each.target].append(each)
    placed: dict[tuple[Target, Attach, int], Function | None] = {}
    for target, members in files.items():
        skips, refused = _places(target, members, move=move)
        left_out: dict[Refusal, list[str]] = defaultdict(list)
        for each in members:
            skip = skips.get(each.function.offset, 0) if each.attach is Attach.UPROBE else 0
            function = replace(each.function, skip=skip) if skip != each.function.skip else each.function
            reason = next((refused[place] for place in _probed(each.attach, function) if place in refused), None)
            placed[target, each.attach, function.offset] = function if reason is None else None
            if reason is not None:
                left_out[reason].append(function.symbol)
        for reason, symbols in sorted(left_out.items()):
            note(_left_out(target.path, symbols, reason))
    found = [(each, placed.get((each.target, each.attach, each.function.offset), each.function)) for each in candidates]
    return tuple(changed(each, function=function) for each, function in found if function is not None)


def _places(
    target: Target, members: Iterable[Candidate], *, move: bool
) -> tuple[Mapping[int, int], Mapping[int, Refusal]]:
    functions = {each.function.offset: each.function.captured for each in members if each.attach is Attach.UPROBE}
    points = [place for each in members if each.attach is Attach.USDT for place in _probed(each.attach, each.function)]
    asked = [[offset, sorted(captured)] for offset, captured in sorted(functions.items())]
    state = file_state(Path(target.path))
    key = None if state is None else [state, target.build_id, asked, sorted(points), move, *os.uname()[2:]]
    skips, refused = cached("places", key, lambda: _looked_at(target, functions, points, move=move))
    return dict(skips), {place: Refusal(reason) for place, reason in refused}


def _looked_at(
    target: Target, functions: Mapping[int, frozenset[int]], points: Iterable[int], *, move: bool
) -> list[list[list[object]]]:
    from datacrumbs.elf.placement import probe_skips, refused_places  # noqa: PLC0415 - loads the disassembler

    with Path(target.path).open("rb") as stream:
        skips = probe_skips(stream, functions) if move else {}
        refused = refused_places(stream, functions.keys() - skips.keys(), points)
    return [[[at, skip] for at, skip in skips.items()], [[at, reason.value] for at, reason in refused.items()]]


def _probed(attach: Attach, function: Function) -> tuple[int, ...]:
    if attach is Attach.UPROBE:
        return () if function.skip else (function.offset,)
    return tuple(place.offset for place in (*function.usdt_places, *function.return_places))


def _left_out(path: str, symbols: list[str], reason: Refusal) -> str:
    some = ", ".join(sorted(symbols)[:_SHOWN]) + (", ..." if len(symbols) > _SHOWN else "")
    what = counted(len(symbols), "function is", "functions are")
    return f"{path}: {what} left out ({some}): the instruction there {reason.value}"
