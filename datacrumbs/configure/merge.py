"""Candidates of all entries, merged so that each place is probed once and by one description."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from datacrumbs.cache.analysis_cache import cached
from datacrumbs.configure.candidates import changed
from datacrumbs.configure.site import UNSAID
from datacrumbs.elf.build_id import file_state
from datacrumbs.elf.functions import base_name
from datacrumbs.elf.returns_by_name import returns_by_name
from datacrumbs.output import counted, first_few
from datacrumbs.provider import Attach, Returns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from datacrumbs.configure.candidates import Candidate
    from datacrumbs.configure.site import Detail
    from datacrumbs.provider import Function, Target

POSIX = "POSIX"
SYSTEM = "SYS"


def merge(
    candidates: Iterable[Candidate], positions: Mapping[str, int], note: Callable[[str], None]
) -> tuple[Candidate, ...]:
    """One candidate for each place.

    A place is an offset in a file, a system call, or a kernel symbol. Two paths of one inode are one
    file, since the kernel attaches to inodes; two copies of one library are two, whatever their build-id.
    Where several descriptions meet, the one of the provider nearest to the application wins and takes
    over the other names as aliases. How much of the calls is kept, the last entry decides that says it.

    Args:
        candidates: In the order of the site file.
        positions: Each provider's place in the stack.
        note: Takes a line for each pair of providers that meet.
    """
    places: dict[object, list[Candidate]] = defaultdict(list)
    inodes: dict[Target, object] = {}
    for candidate in candidates:
        if candidate.target not in inodes:
            inodes[candidate.target] = _inode(candidate.target)
        file = inodes[candidate.target]
        places[_place(candidate, file)].append(candidate)
    met: dict[tuple[str, str], list[str]] = defaultdict(list)
    merged = []
    for same in places.values():
        ordered = sorted(same, key=lambda each: _precedence(each, positions)) if len(same) > 1 else same
        winner = ordered[0]
        for other in ordered[1:]:
            if other.provider != winner.provider:
                met[winner.provider, other.provider].append(winner.function.symbol)
        helper = all(each.helper for each in same)
        function, detail = _with_aliases(winner, ordered), _detail(same)
        merged.append(changed(winner, function=function, detail=detail, helper=helper))
    for (winner_name, other_name), symbols in sorted(met.items()):
        verb, them = ("is", "it") if len(symbols) == 1 else ("are", "them")
        functions, some = counted(len(symbols), "function"), first_few(sorted(set(symbols)))
        note(f"{functions} of {other_name} {verb} probed as {winner_name} describes {them}: {some}")
    return tuple(merged)


def one_posix_layer(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Leave the category POSIX to one layer: libc where it is probed, else the system calls.

    Readers add up what is POSIX; a write seen in both layers would count twice. The system calls
    below a probed libc become `SYSTEM`.
    """
    candidates = tuple(candidates)
    written = (each for each in candidates if not each.helper)
    library = any(each.attach is Attach.UPROBE and each.function.category == POSIX for each in written)
    if not library:
        return candidates
    return tuple(
        replace(each, function=replace(each.function, category=SYSTEM))
        if each.attach is not Attach.UPROBE and each.function.category == POSIX
        else each
        for each in candidates
    )


def with_safe_returns(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Probe only the entries of library functions on which a return probe would break the program."""
    candidates = tuple(candidates)
    wanted: dict[Target, set[int]] = defaultdict(set)
    for each in candidates:
        if each.attach is Attach.UPROBE and each.function.return_probe:
            wanted[each.target].add(each.function.offset)
    unsafe = {target: _unsafe_returns(target, offsets) for target, offsets in wanted.items()}
    return tuple(_with_safe_returns(each, unsafe.get(each.target, {})) for each in candidates)


def _unsafe_returns(target: Target, offsets: Iterable[int]) -> Mapping[int, Returns]:
    asked = sorted(offsets)
    state = file_state(Path(target.path))
    key = None if state is None else [state, target.build_id, asked]
    found = cached("returns", key, lambda: _looked_at(target, asked))
    return {offset: Returns(returns) for offset, returns in found}


def _looked_at(target: Target, offsets: Sequence[int]) -> list[list[object]]:
    from datacrumbs.elf.unsafe_returns import unsafe_returns  # noqa: PLC0415 - loads what reads files' code

    with Path(target.path).open("rb") as stream:
        return [[offset, returns.value] for offset, returns in unsafe_returns(stream, offsets).items()]


def _with_safe_returns(candidate: Candidate, unsafe: Mapping[int, Returns]) -> Candidate:
    function = candidate.function
    if candidate.attach is not Attach.UPROBE or not function.return_probe:
        return candidate
    names = map(base_name, (function.symbol, *function.aliases))
    ctypes = (argument.ctype for argument in function.arguments)
    returns = returns_by_name(names, ctypes)
    if returns is Returns.PROBED:
        returns = unsafe.get(function.offset, Returns.PROBED)
    if returns is function.returns:
        return candidate
    return replace(candidate, function=replace(function, returns=returns))


def _place(candidate: Candidate, file: object) -> object:
    function = candidate.function
    by_name = candidate.attach in {Attach.KPROBE, Attach.TRACEPOINT}
    return candidate.attach, file, function.symbol if by_name else function.offset


def _inode(target: Target) -> object:
    if target.is_kernel:
        return ""
    try:
        status = Path(target.path).stat()
    except OSError:
        return target.path
    return status.st_dev, status.st_ino


# A USDT probe that one entry selects with its end, and another without, is a call.
def _precedence(candidate: Candidate, positions: Mapping[str, int]) -> tuple[int, str, str, bool, str]:
    function = candidate.function
    unpaired = not function.return_places
    return positions[candidate.provider], candidate.provider, candidate.target.path, unpaired, function.symbol


def _detail(same: Iterable[Candidate]) -> Detail:
    detail = UNSAID
    for each in same:
        detail = each.detail.over(detail)
    return detail


def _with_aliases(winner: Candidate, same: Sequence[Candidate]) -> Function:
    function = winner.function
    if winner.attach is not Attach.UPROBE or (len(same) == 1 and not function.aliases):
        return function
    names = {name for each in same for name in (each.function.symbol, *each.function.aliases)}
    aliases = tuple(sorted(names - {function.symbol}))
    return function if aliases == function.aliases else replace(function, aliases=aliases)
