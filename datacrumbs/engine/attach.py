"""From a plan's groups to attached programs: which way, in which order, and what failed."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass, field
from enum import IntEnum
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from datacrumbs.engine import links
from datacrumbs.engine.kernel_programs import SESSION
from datacrumbs.engine.kprobe_events import attach_kernel_return, remove_left_definitions
from datacrumbs.engine.methods import AttachMethod
from datacrumbs.model.plan import Attach

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from datacrumbs.engine.links import Link
    from datacrumbs.model.plan import Function, Group

    NumberedFunctions = Sequence[tuple[int, Function]]

_ENOTSUPP = 524  # the kernel's own, of an instruction that it does not probe
LASTING = frozenset({errno.EINVAL, errno.ENOEXEC, errno.EILSEQ, errno.EOPNOTSUPP, _ENOTSUPP})
"""Errors that say something of the place. Others are of the moment: no memory or descriptors, a signal, a read error, a
module that is not loaded."""


@dataclass(frozen=True, slots=True)
class AttachFailure:
    """A function that could not be probed: its identity, its symbol, why, and the error's number, or 0."""

    function: int
    symbol: str
    reason: str
    number: int = 0

    @property
    def lasts(self) -> bool:
        """Whether the next try on this kernel would fail, too."""
        return self.number in LASTING


class Phase(IntEnum):
    """In which order links are closed: nothing begins any more before what waits for ends goes."""

    CLIENT = 0
    ENTRY = 1
    RETURN = 2
    LIFE = 3


@dataclass(slots=True)
class Attached:
    """What was attached, to be detached together."""

    links: dict[Phase, list[Link]] = field(default_factory=lambda: {phase: [] for phase in Phase})
    failures: list[AttachFailure] = field(default_factory=list)
    functions: int = 0

    def close(self) -> None:
        """Detach everything, phase by phase."""
        for phase in self.links.values():
            links.close_links(phase)
            phase.clear()


@dataclass(frozen=True, slots=True)
class Programs:
    """Descriptors of the loaded programs by name, and how library ones are attached."""

    descriptor: Callable[[str], int]
    method: AttachMethod


@dataclass(frozen=True, slots=True)
class PreparedGroup:
    """All that attaching a group needs, looked up before it begins.

    Attributes:
        group: The group.
        path: The file to probe; empty for the kernel.
        wanted: Identity and function of those to attach.
        sites: Their places, as links.SITE; empty but for libraries.
        returns: Which of them are probed at their return, too.
        operand_rows: See `function_table.operand_rows`.
    """

    group: Group
    path: str
    wanted: NumberedFunctions
    sites: NDArray[np.void]
    returns: NDArray[np.bool_]
    operand_rows: Mapping[tuple[int, str], int]


def prepare_group(
    group: Group, path: str, first: int, skip: Collection[int], operand_rows: Mapping[tuple[int, str], int]
) -> PreparedGroup:
    """Look up a group's functions but those in ``skip``; identities start at ``first``."""
    wanted = [(identity, function) for identity, function in enumerate(group.functions, first) if identity not in skip]
    probed = wanted if group.attach is Attach.UPROBE else []
    sites = links.sites([function.place for _, function in probed], [identity for identity, _ in probed])
    returns = np.array([function.return_probe for _, function in probed], np.bool_)
    return PreparedGroup(group, path, wanted, sites, returns, operand_rows)


def attach_group(prepared: PreparedGroup, programs: Programs, attached: Attached) -> None:
    """Attach a group's functions; failures are collected."""
    attach, wanted = prepared.group.attach, prepared.wanted
    if attach is Attach.UPROBE:
        _attach_library(prepared, programs, attached)
    elif attach is Attach.USDT:
        _attach_usdt(prepared, programs, attached)
    elif attach is Attach.TRACEPOINT:
        program = programs.descriptor("dc_kernel_point")
        for identity, function in wanted:
            category, _, event = function.symbol.partition(":")
            make = partial(links.attach_tracepoint, program, category, event, identity)
            _try(attached, Phase.ENTRY, identity, function, make)
    elif attach is Attach.KPROBE:
        _attach_kernel(wanted, programs, attached)
    else:
        attached.functions += len(prepared.group.functions)


# Makes one link for some places.
class _Linking(NamedTuple):
    phase: Phase
    sites: NDArray[np.void]
    attach: Callable[[NDArray[np.void]], Link]
    one_by_one: bool = False


def _attach_library(prepared: PreparedGroup, programs: Programs, attached: Attached) -> None:
    failed: dict[int, int] = {}
    for linking in _linkings(prepared, programs):
        rest = linking.sites
        if failed:
            rest = rest[~np.isin(rest["cookie"], list(failed))]
        failed |= _attach_sites(linking, rest, attached)
    for identity, function in prepared.wanted if failed else ():
        if identity in failed:
            attached.failures.append(_failure(identity, function.symbol, failed[identity]))
    attached.functions += len(prepared.wanted) - len(failed)


def _failure(identity: int, symbol: str, number: int, reason: str = "unknown error") -> AttachFailure:
    if number:
        reason = os.strerror(number) if number != _ENOTSUPP else "the kernel does not probe the instruction there"
    if number in {errno.EMFILE, errno.ENFILE}:
        reason += ": raise the limit (ulimit -n, LimitNOFILE=), or select fewer functions"
    return AttachFailure(identity, symbol, reason, number)


# Returns first: an entry without its return would be counted as unmatched.
def _linkings(prepared: PreparedGroup, programs: Programs) -> Iterator[_Linking]:
    path = prepared.path
    if programs.method is AttachMethod.SESSION:
        yield _Linking(
            Phase.ENTRY,
            prepared.sites,
            lambda sites: links.attach_uprobe_session(programs.descriptor(SESSION), path, sites),
        )
        return
    one_by_one = programs.method is AttachMethod.PERF
    for name, sites, at_return in (
        ("dc_library_leave", prepared.sites[prepared.returns], True),
        ("dc_library_enter", prepared.sites, False),
    ):

        def attach(some: NDArray[np.void], name: str = name, *, at_return: bool = at_return) -> Link:
            program = programs.descriptor(name)
            if one_by_one:
                return links.attach_uprobe(program, path, some[0], at_return=at_return)
            return links.attach_uprobe_multi(program, path, some, at_return=at_return)

        yield _Linking(Phase.RETURN if at_return else Phase.ENTRY, sites, attach, one_by_one)


# One link for all; where that fails, halves, so that one bad function costs only itself. Gives cookie -> error.
def _attach_sites(linking: _Linking, sites: NDArray[np.void], attached: Attached) -> dict[int, int]:
    if not len(sites):
        return {}
    if len(sites) == 1 or not linking.one_by_one:
        try:
            attached.links[linking.phase].append(linking.attach(sites))
        except OSError as error:
            if len(sites) == 1:
                return {int(sites[0]["cookie"]): error.errno or 0}
        else:
            return {}
    middle = len(sites) // 2
    return _attach_sites(linking, sites[:middle], attached) | _attach_sites(linking, sites[middle:], attached)


# The cookie of a place whose arguments are elsewhere than at the first one names the row that says where, too.
def _attach_usdt(prepared: PreparedGroup, programs: Programs, attached: Attached) -> None:
    enter, leave = (programs.descriptor(name) for name in ("dc_usdt_enter", "dc_usdt_leave"))
    for identity, function in prepared.wanted:
        places = [(Phase.RETURN, leave, place, identity) for place in function.return_places]
        places += [
            (Phase.ENTRY, enter, place, identity | prepared.operand_rows.get((identity, place.arguments), 0) << 32)
            for place in function.usdt_places
        ]
        for phase, program, place, cookie in places:
            site = links.sites([place.offset], [cookie], place.semaphore)[0]
            make = partial(links.attach_uprobe, program, prepared.path, site, at_return=False)
            _try(attached, phase, identity, function, make, counts=place.offset == function.offset)


def _attach_kernel(wanted: NumberedFunctions, programs: Programs, attached: Attached) -> None:
    remove_left_definitions()
    enter, leave = (programs.descriptor(name) for name in ("dc_kernel_enter", "dc_kernel_leave"))
    for identity, function in wanted:
        symbol = function.symbol
        if function.return_probe:
            make = partial(attach_kernel_return, leave, symbol, identity)
            _try(attached, Phase.RETURN, identity, function, make, counts=False)
        _try(attached, Phase.ENTRY, identity, function, partial(links.attach_kprobe, enter, symbol, identity))


def _try(
    attached: Attached,
    phase: Phase,
    identity: int,
    function: Function,
    make: Callable[[], Link],
    *,
    counts: bool = True,
) -> None:
    try:
        attached.links[phase].append(make())
        attached.functions += counts
    except OSError as error:
        attached.failures.append(_failure(identity, function.symbol, error.errno or 0, str(error)))
