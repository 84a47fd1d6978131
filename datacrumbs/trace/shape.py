"""What a function's line looks like: which keys it has, and how each value is made from a record."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

from datacrumbs.probefile.plan import Argument, Attach, Result, Role
from datacrumbs.record import VALUE_SLOTS, CallFlag, NameKind
from datacrumbs.trace.text import json_string

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from datacrumbs.probefile.plan import Function, Group, Plan

RESERVED = frozenset(
    {"hhash", "fhash", "ret", "errno", "symbol", "name", "value", "raw", "level", "type", "cwd", "exec_hash", "step"}
)
"""Labels that mean something else to readers; an argument of that name is written as ``arg_<name>``."""

MINUS_ONE = frozenset({Result.BYTES, Result.STATUS, Result.FD, Result.OFFSET, Result.MAPPING})
"""Results of which failure is -1 in C; a system call's -errno is written so, as libc's caller sees it."""

MOVED = frozenset({Result.BYTES, Result.ITEMS})


class State(IntEnum):
    """What is known of a call's end; a function has one template per state."""

    POINT = 0
    OPEN = 1  # entered; the return is not observed
    DONE = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Field:
    """A key of ``args`` and the slot of ``values`` that it comes from.

    ``kind`` is set where the value is the identity of a name; ``scaled`` where it counts items
    and is to be multiplied by their size; ``one`` where the size itself is then written as 1.
    """

    key: str
    slot: int
    size: int
    signed: bool
    kind: NameKind | None = None
    scaled: bool = False
    one: bool = False


@dataclass(frozen=True, slots=True)
class Shape:
    """All that the writer needs to know of one function."""

    head: bytes  # from "name" up to the value of "pid"
    tail: bytes  # the closing, with the symbol where it differs from the name
    fields: tuple[Field, ...]
    result: Result
    items_slot: int  # slot of the SIZE argument when the result is in items, else -1
    bytes_key: bool  # whether "bytes" is derived from the result
    system_call: bool


def shapes(plan: Plan) -> list[Shape]:
    """One Shape per function, in the order of identities."""
    declared = {(snippet.provider, snippet.name): snippet.fields for snippet in plan.snippets}
    return [
        _shape(group, function, declared.get((group.provider, function.snippet), ()))
        for group in plan.groups
        for function in group.functions
    ]


def states(flags: NDArray[np.uint16]) -> NDArray[np.uint32]:
    """The State of each call, from its ``flags``."""
    known = np.where(flags & CallFlag.FAILED, State.FAILED, State.DONE)
    ended = np.where(flags & CallFlag.RETURNED, known, State.OPEN)
    return np.where(flags & CallFlag.POINT, State.POINT, ended).astype(np.uint32)


def field_values(field: Field, values: NDArray[np.uint64]) -> NDArray[np.int64] | NDArray[np.uint64]:
    """A register's content as the argument's type has it: cut to its width, sign-extended where signed.

    Args:
        field: Which slot, how wide, how signed.
        values: (n, VALUE_SLOTS) raw registers.
    """
    raw = values[:, field.slot]
    narrow = raw.astype(f"u{field.size}")
    return narrow.view(f"i{field.size}").astype(np.int64) if field.signed else narrow.astype(np.uint64)


def _shape(group: Group, function: Function, extra: tuple[Argument, ...]) -> Shape:
    slots = [*enumerate(function.arguments), *enumerate(extra, start=VALUE_SLOTS - len(extra))]
    items = [slot for slot, argument in slots if argument.role is Role.SIZE]
    items_slot = items[0] if function.result is Result.ITEMS and items else -1
    fields = _unique([field for field in _fields(slots, scaled=items_slot >= 0) if field is not None])
    symbol = b"" if function.symbol == function.name else f',"symbol":{json_string(function.symbol)}'.encode()
    return Shape(
        head=f',"name":{json_string(function.name)},"cat":{json_string(function.category)},"pid":'.encode(),
        tail=symbol + b"}}\n",
        fields=tuple(fields),
        result=function.result,
        items_slot=items_slot,
        bytes_key=function.result in MOVED and all(field.key != "bytes" for field in fields),
        system_call=group.attach is Attach.SYSCALL,
    )


def _fields(slots: list[tuple[int, Argument]], *, scaled: bool) -> list[Field | None]:
    paths = 0
    found: list[Field | None] = []
    for slot, argument in slots:
        label = f"arg_{argument.label}" if argument.label in RESERVED else argument.label
        plain = Field(label, slot, argument.size, argument.signed)
        match argument.role:
            case Role.PATH:
                paths += 1
                # The first path is the call's file and stands as fhash.
                key = "newpath_hash" if paths == 2 else f"{argument.label}_hash"
                found.append(replace(plain, key=key, kind=NameKind.PATH) if paths > 1 else None)
            case Role.STRING:
                found.append(replace(plain, key=f"{argument.label}_hash", kind=NameKind.STRING))
            case Role.OUT | Role.OUT_HANDLE:
                continue  # addresses of the program's own memory tell a reader nothing
            case Role.HANDLE:
                found.append(replace(plain, signed=False))
            case Role.SIZE if scaled:
                found.append(replace(plain, one=True))
            case Role.COUNT if scaled:
                found.append(replace(plain, scaled=True))
            case _:
                found.append(plain)
    return found


def _unique(fields: list[Field]) -> list[Field]:
    # JSON readers differ in which of two equal keys they keep, so none is written twice.
    taken: dict[str, int] = {}
    result = []
    for field in fields:
        taken[field.key] = taken.get(field.key, 0) + 1
        result.append(replace(field, key=f"{field.key}_{taken[field.key]}") if taken[field.key] > 1 else field)
    return result
