"""Functions that are followed though no entry selects them: they make and give back the handles that others use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from datacrumbs.configure.candidates import Candidate
from datacrumbs.provider import Attach, Function, Result, Role

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from datacrumbs.configure.candidates import Sources

_GIVEN_BACK = frozenset((Role.CLOSED, Role.RELEASED))
_HANDLES = _GIVEN_BACK | {Role.HANDLE}
_SOURCES = frozenset((Role.PATH, Role.FD, Role.HANDLE))
ENTRY = "helpers"


def helpers(candidates: Iterable[Candidate], sources: Sources) -> Iterator[Candidate]:
    """What must be followed, so that calls on handles have their files.

    A preset such as ``data`` leaves out the calls that open files. Without them a handle is a number. So a function
    that takes a handle brings those of its provider that make or close handles; their calls are not written. Some of
    them may be selected as well.

    Args:
        candidates: The selected functions.
        sources: The providers, which were asked for the selected functions.
    """
    using = {each.provider for each in candidates if each.attach is Attach.UPROBE and _roles(each.function) & _HANDLES}
    for name in sorted(using):
        for target, function in sources.asked(name):
            if target.attach is Attach.UPROBE and _makes_or_closes(function):
                yield Candidate(name, target.attach, target.target, function, ENTRY, helper=True)


def _roles(function: Function) -> set[Role]:
    return {argument.role for argument in function.arguments}


def _makes_or_closes(function: Function) -> bool:
    roles = _roles(function)
    makes = function.result is Result.HANDLE or Role.OUT_HANDLE in roles
    return bool(roles & _GIVEN_BACK) or (makes and bool(roles & _SOURCES))
